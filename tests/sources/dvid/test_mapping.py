"""The whole mapping on disk: sorted, exact, bounded in memory, and brought up to date from the log."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flyem_snapshot.errors import DataError, OutputError
from flyem_snapshot.sources.dvid import mapping
from flyem_snapshot.sources.dvid.edits import mutation
from flyem_snapshot.sources.dvid.failures import DvidError, Incomplete
from flyem_snapshot.sources.dvid.graph import resolve
from flyem_snapshot.sources.dvid.http import DvidClient
from flyem_snapshot.sources.dvid.labelmap import Labelmap
from flyem_snapshot.sources.dvid.mapping import Restart, SupervoxelMap
from flyem_snapshot.sources.dvid.mutations import mutations
from flyem_snapshot.sources.dvid.sorting import sorted_pairs
from tests.dvid_double import DvidDouble

BIG = 2**53 + 1  # a float would make it 2**53
CUBE = (BIG + 2 * np.arange(8, dtype=np.uint64)).reshape(2, 2, 2).repeat(32, 0).repeat(32, 1).repeat(32, 2)
A, B, C, D, E, F, G, H = range(BIG, BIG + 16, 2)


@pytest.fixture
def dvid():
    with DvidDouble() as dvid:
        yield dvid


@pytest.fixture
def repo(dvid):
    return dvid.new_repo("brain")


@pytest.fixture
def seg(repo):
    return repo.labelmap("seg", CUBE)


def opened(dvid, **options):
    client = DvidClient(dvid.url, **{"user": "tester", "pause": 0.001, **options})
    return Labelmap.open(resolve(client, ":master"), "seg")


def fetched(dvid, folder):
    return SupervoxelMap.fetch(opened(dvid), folder)


def ids(*values):
    return np.array(values, np.uint64)


def upper_half():
    mask = np.zeros(CUBE.shape, bool)
    mask[:16] = mask[32:48] = True
    return mask


# --- reading and asking ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("binary", [True, False])
def test_supervoxels_have_their_bodies_and_are_their_own_without_an_entry(dvid, repo, seg, tmp_path, binary):
    dvid.abilities.binary_mappings = binary
    seg.merge(repo.root, A, [B, C])
    new = seg.cleave(repo.root, A, [C])
    known = fetched(dvid, tmp_path / "map")
    assert len(known) == 3
    assert known.bodies(ids(C, B, A, D, new, 0, 1, 2**64 - 1)).tolist() == [new, A, A, D, 0, 0, 1, 2**64 - 1]
    assert known.bodies(ids(A, B)).dtype == np.uint64
    assert known.bodies(ids()).tolist() == []


def test_a_mapping_without_entries_is_the_identity(dvid, repo, seg, tmp_path):
    known = fetched(dvid, tmp_path)
    assert len(known) == 0
    assert known.bodies(ids(A, 0, 5)).tolist() == [A, 0, 5]
    assert [part.tolist() for part in known.supervoxels_of(ids(A, 5))] == [[5, A], [5, A]]


def test_a_body_has_all_its_supervoxels_and_itself_unless_it_was_merged_away(dvid, repo, seg, tmp_path):
    seg.merge(repo.root, A, [B, C])
    seg.merge(repo.root, E, [D])
    new = seg.cleave(repo.root, A, [C])
    known = fetched(dvid, tmp_path)
    supervoxels, bodies = known.supervoxels_of(ids(new, A, H, B, A, 0))
    assert supervoxels.tolist() == [C, A, B, H] if new < A else [A, B, H, C]
    assert bodies.tolist() == known.bodies(supervoxels).tolist()
    assert sorted(set(bodies.tolist())) == sorted([new, A, H]), "nothing of what is no body"


def test_the_files_are_sorted_little_endian_integers(dvid, repo, seg, tmp_path):
    seg.merge(repo.root, A, [C, B])
    fetched(dvid, tmp_path / "a" / "map")
    folder = tmp_path / "a" / "map"
    assert sorted(file.name for file in folder.iterdir()) == ["bodies.u64", "mapping.json", "supervoxels.u64"]
    assert np.fromfile(folder / "supervoxels.u64", "<u8").tolist() == [B, C]
    assert np.fromfile(folder / "bodies.u64", "<u8").tolist() == [A, A]
    about = json.loads((folder / "mapping.json").read_text())
    assert about == {"instance": "seg", "data_uuid": seg.data_uuid, "uuid": repo.root, "entries": 2}


def test_a_mapping_can_be_opened_again(dvid, repo, seg, tmp_path):
    seg.merge(repo.root, A, [B])
    fetched(dvid, tmp_path)
    known = SupervoxelMap.open(tmp_path)
    assert known.bodies(ids(B, C)).tolist() == [A, C]
    assert known.about["uuid"] == repo.root


@pytest.mark.parametrize("damage", ["short", "missing", "empty", "garbled"])
def test_a_folder_without_a_whole_mapping_is_refused(dvid, repo, seg, tmp_path, damage):
    seg.merge(repo.root, A, [B])
    fetched(dvid, tmp_path)
    if damage == "short":
        (tmp_path / "bodies.u64").write_bytes(b"1234567")
    elif damage == "missing":
        (tmp_path / "supervoxels.u64").unlink()
    else:
        (tmp_path / "mapping.json").write_text("" if damage == "empty" else '{"entries": null}')
    with pytest.raises(DataError, match="this is no whole mapping"):
        SupervoxelMap.open(tmp_path)


@pytest.mark.parametrize("fault", ["cut", "truncated", "appended"])
def test_an_answer_that_breaks_off_is_asked_for_again_from_its_start(dvid, repo, seg, tmp_path, fault):  # M19
    keys = np.arange(1, 100_001, dtype=np.uint64)
    seg.load_mapping(repo.root, keys, keys + 200_000)
    options = {} if fault == "appended" else {"after": 800_007}
    getattr(dvid.faults, fault)("mappings", times=2, **options)
    known = fetched(dvid, tmp_path)
    assert len(known) == 100_000
    assert len(dvid.asked("mappings")) == 3


def test_an_answer_that_never_is_whole_fails_and_leaves_what_was_there(dvid, repo, seg, tmp_path):
    seg.merge(repo.root, A, [B])
    fetched(dvid, tmp_path)
    dvid.faults.truncated("mappings", times=None, after=7)
    with pytest.raises(DvidError, match=r"mappings: the answer was incomplete: .* after 3 tries") as caught:
        fetched(dvid, tmp_path)
    assert caught.value.transient
    assert len(SupervoxelMap.open(tmp_path)) == 1
    assert len(list(tmp_path.iterdir())) == 3


def test_a_disk_that_cannot_be_written_is_an_output_error(dvid, repo, seg, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot write the mapping"):
        fetched(dvid, tmp_path / "file" / "map")


# --- sorting ---------------------------------------------------------------------------------------------------------


@given(
    keys=st.lists(st.integers(0, 2**64 - 1), unique=True, max_size=300),
    run=st.integers(1, 80),
    step=st.integers(1, 20),
    cuts=st.lists(st.integers(0, 100), max_size=10),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_pairs_are_sorted_whatever_the_pieces(tmp_path, keys, run, step, cuts):
    pairs = np.array([(key, key ^ 0x5555) for key in keys], np.uint64).reshape(-1, 2)
    parts = np.split(pairs, sorted(min(cut, len(pairs)) for cut in cuts))
    found = [tuple(pair) for part in sorted_pairs(iter(parts), tmp_path, run=run, step=step) for pair in part.tolist()]
    assert found == sorted((key, key ^ 0x5555) for key in keys)
    assert not list(tmp_path.iterdir()), "no temporary file is left"


def test_sorted_pieces_stay_small(tmp_path):
    keys = np.random.default_rng(0).permutation(100_000).astype(np.uint64)
    pairs = np.stack([keys, keys], axis=1)
    pieces = [len(part) for part in sorted_pairs(iter([pairs]), tmp_path, run=5000, step=50)]
    assert sum(pieces) == 100_000
    assert max(pieces) <= 5000 + 20 * 50


@pytest.mark.parametrize("run", [2, 100])
def test_a_supervoxel_with_two_entries_cannot_be(tmp_path, run):
    pairs = np.array([[1, 2], [3, 4], [5, 6], [1, 7]], np.uint64)
    with pytest.raises(Incomplete, match="supervoxel 1 twice"):
        list(sorted_pairs(iter([pairs]), tmp_path, run=run, step=1))


def test_memory_is_bounded_however_many_entries_there_are(tmp_path):  # M27
    """In a process of its own: ten million entries, 160 MB, through sorting and writing."""
    program = """
        import sys
        from pathlib import Path
        import numpy as np
        from flyem_snapshot.log import peak_rss_bytes, reset_peak_rss
        from flyem_snapshot.sources.dvid import mapping
        from flyem_snapshot.sources.dvid.sorting import sorted_pairs

        def pairs():
            for start in range(0, 10_000_000, 65_536):
                key = np.arange(start, min(start + 65_536, 10_000_000), dtype=np.uint64)
                yield np.stack([key * np.uint64(0x9E3779B97F4A7C15), key], axis=1)

        folder = Path(sys.argv[1])
        reset_peak_rss()
        before = peak_rss_bytes()
        print(mapping._write(folder, {}, sorted_pairs(pairs(), folder)), peak_rss_bytes() - before)
    """
    command = [sys.executable, "-c", textwrap.dedent(program), str(tmp_path)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    count, peak = map(int, done.stdout.split())
    assert count == 10_000_000
    assert peak < 150_000_000
    known = SupervoxelMap.open(tmp_path)
    numbers = np.arange(0, 10_000_000, 997, dtype=np.uint64)
    with np.errstate(over="ignore"):
        assert (known.bodies(numbers * np.uint64(0x9E3779B97F4A7C15)) == numbers).all()


# --- edits that were made while it was read --------------------------------------------------------------------------


def all_ids(seg):
    """Every id that a test may ask about: all that were ever given out, and their neighbours."""
    return np.array([*range(A - 1, seg.next_label + 2), *range(5)], np.uint64)


def assert_current(known, seg, uuid):
    """The mapping is that of the server for every supervoxel that exists, and 0 where the server says 0."""
    everything = all_ids(seg)
    state = seg.labels(uuid)
    expected = state.mapped(everything, verified=True)
    exists = expected != 0
    found = known.bodies(everything)
    assert (found[exists] == expected[exists]).all()
    retired = ids(*(sv for sv, body in zip(*state.entries, strict=True) if body == 0))
    assert not known.bodies(retired).any()


def edit(seg, uuid, choice, rng):
    """One edit that is possible now; False if this kind is not."""
    bodies = seg.bodies(uuid)
    body = int(rng.choice(bodies))
    members = seg.supervoxels(uuid, body)
    match choice:
        case "merge" if len(bodies) > 1:
            others = [b for b in bodies if b != body]
            seg.merge(uuid, body, [int(b) for b in rng.choice(others, min(2, len(others)), replace=False)])
        case "cleave" if len(members) > 1:
            seg.cleave(uuid, body, members[: int(rng.integers(1, len(members)))])
        case "renumber":
            seg.renumber(uuid, seg.next_label, body)
        case "split_supervoxel" | "split_body":
            cube = seg.labels(uuid).cube
            supervoxel = next((sv for sv in members if np.count_nonzero(cube == sv) > 1), None)
            if supervoxel is None:
                return
            places = np.argwhere(cube == supervoxel)
            mask = np.zeros(cube.shape, bool)
            mask[tuple(places[: len(places) // 2].T)] = True
            if choice == "split_supervoxel":
                seg.split_supervoxel(uuid, supervoxel, mask)
            else:
                seg.split_body(uuid, body, mask)


KINDS = ["merge", "cleave", "renumber", "split_supervoxel", "split_body"]
SMALL = (BIG + 2 * np.arange(8, dtype=np.uint64)).reshape(2, 2, 2).repeat(3, 0).repeat(3, 1).repeat(3, 2)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    before=st.lists(st.sampled_from(KINDS), max_size=6),
    during=st.lists(st.sampled_from(KINDS), min_size=1, max_size=8),
    known_already=st.integers(0, 8),
    seed=st.integers(0, 100),
)
def test_edits_can_be_replayed_onto_a_mapping_of_any_moment_among_them(
    dvid, tmp_path, before, during, known_already, seed
):
    rng = np.random.default_rng(seed)
    repo = dvid.new_repo(f"repo {len(dvid.repos)}")
    seg = repo.labelmap("seg", SMALL)
    uuid = repo.root
    for kind in before:
        edit(seg, uuid, kind, rng)
    labels = Labelmap.open(resolve(DvidClient(dvid.url, user="t", pause=0.001), uuid), "seg")
    first = len(mutations(labels.node, "seg"))
    known = SupervoxelMap.fetch(labels, tmp_path)
    for number, kind in enumerate(during):
        if number == known_already:
            known = SupervoxelMap.fetch(labels, tmp_path)
        edit(seg, uuid, kind, rng)
    edits = mutations(labels.node, "seg")[first:]
    known.replay(edits, lambda some: labels.bodies(some, verified=True))
    assert_current(known, seg, uuid)
    assert_current(SupervoxelMap.open(tmp_path), seg, uuid)


def test_an_edit_in_the_middle_of_the_download_is_made_good(dvid, repo, seg, tmp_path):
    seg.merge(repo.root, A, [B, C, D])
    seg.merge(repo.root, E, [F, G])
    labels = opened(dvid)
    first = len(mutations(labels.node, "seg"))
    dvid.midway(1, 12, lambda: seg.merge(repo.root, H, [A, E]), "mappings")
    known = SupervoxelMap.fetch(labels, tmp_path)
    edits = mutations(labels.node, "seg")[first:]
    replayed = known.replay(edits, lambda some: labels.bodies(some, verified=True))
    assert known.bodies(ids(A, B, C, D, E, F, G, H)).tolist() == [H] * 8
    assert replayed.touched.tolist() == [A, E], "they had no entry before"
    assert replayed.retired.tolist() == []
    assert not dvid.asked("/mapping$"), "the log told everything"


def test_split_supervoxels_are_named_so_that_their_points_can_be_looked_up(dvid, repo, seg, tmp_path):
    labels = opened(dvid)
    known = SupervoxelMap.fetch(labels, tmp_path)
    split, remain = seg.split_supervoxel(repo.root, A, upper_half())
    seg.split_body(repo.root, B, upper_half())
    replayed = known.replay(mutations(labels.node, "seg"), lambda some: labels.bodies(some, verified=True))
    assert replayed.retired.tolist() == [A, B]
    assert known.bodies(ids(A, split, remain)).tolist() == [0, A, A]
    assert {A, B, split, remain} <= set(replayed.touched.tolist())
    assert_current(known, seg, repo.root)


def test_nothing_to_replay_changes_nothing(dvid, repo, seg, tmp_path):
    known = fetched(dvid, tmp_path)
    stamp = (tmp_path / "mapping.json").stat().st_mtime_ns
    replayed = known.replay([], lambda some: some)
    assert (replayed.touched.tolist(), replayed.retired.tolist()) == ([], [])
    assert (tmp_path / "mapping.json").stat().st_mtime_ns == stamp


def record(action, **fields):
    return mutation({"Action": action, "MutationID": 9, **fields})


@pytest.mark.parametrize(
    "edits",
    [
        [record("merge", Target=1, Labels=[2]), record("renumber", OrigLabel=3, NewLabel=2)],
        [record("renumber", OrigLabel=2, NewLabel=5), record("merge", Target=2, Labels=[3])],
        [record("merge", Target=1, Labels=[2]), record("merge", Target=2, Labels=[3])],
        [record("renumber", OrigLabel=2, NewLabel=5), record("renumber", OrigLabel=5, NewLabel=2)],
        [record("mirror")],
    ],
)
def test_when_a_label_vanished_and_was_used_again_only_reading_anew_helps(dvid, repo, seg, tmp_path, edits):
    known = fetched(dvid, tmp_path)
    with pytest.raises(Restart):
        known.replay(edits, lambda some: some)
    assert len(known) == 0


def test_a_merge_chain_is_no_reason_to_read_anew(dvid, repo, seg, tmp_path):
    known = fetched(dvid, tmp_path)
    edits = [record("merge", Target=1, Labels=[2]), record("merge", Target=3, Labels=[1])]
    known.replay(edits, lambda some: some)
    assert known.bodies(ids(1, 2, 3)).tolist() == [3, 3, 3]


def test_large_mappings_are_replayed_slice_by_slice(dvid, repo, seg, tmp_path, monkeypatch):
    monkeypatch.setattr(mapping, "SLICE", 7)
    keys = np.arange(10, 110, dtype=np.uint64)
    seg.load_mapping(repo.root, keys, keys % 5 + 1000)
    known = fetched(dvid, tmp_path)
    edits = [
        record("merge", Target=1000, Labels=[1001, 500]),
        record("cleave", OrigLabel=1000, CleavedLabel=2000, CleavedSupervoxels=[10, 16, 109, 3]),
    ]
    known.replay(edits, lambda some: some)
    expected = {int(key): (1000 if key % 5 < 2 else int(key) % 5 + 1000) for key in keys}
    expected |= {10: 2000, 16: 2000, 109: 2000, 3: 2000, 2000: 0, 1001: 1000, 500: 1000}
    asked = ids(*sorted(expected))
    assert known.bodies(asked).tolist() == [expected[key] for key in sorted(expected)]
    assert np.fromfile(tmp_path / "supervoxels.u64", "<u8").tolist() == sorted(expected)
    supervoxels, _ = known.supervoxels_of(ids(2000))
    assert supervoxels.tolist() == [3, 10, 16, 109]


def test_an_empty_answer_is_not_believed_if_the_log_tells_of_merges(dvid, repo, seg, tmp_path):
    seg.merge(repo.root, A, [B])
    repo.commit(repo.root)
    repo.child(repo.root)
    fault = dvid.faults.truncated("mappings$", after=0, times=1)

    assert fetched(dvid, tmp_path / "once").bodies(ids(B)).tolist() == [A]
    assert fault.hits == 1

    dvid.faults.truncated("mappings$", after=0, times=None)
    with pytest.raises(DvidError, match="it is empty, but the log of .* tells of merged bodies"):
        fetched(dvid, tmp_path / "never")


def test_an_empty_mapping_is_believed_if_nothing_was_merged(dvid, repo, seg, tmp_path):
    assert len(fetched(dvid, tmp_path / "mapping")) == 0
    assert len(dvid.asked("mappings$")) == 1
