"""Others edit while a snapshot is made: it is of one moment, which it names, or says that it is not."""

from __future__ import annotations

import json

import pytest

from tests.dvid_double import DvidDouble
from tests.live_connectome import live_connectome
from tests.live_edits import Editor, disagreements
from tests.live_runs import actions, contents, differences, prepare, snapshot, summary
from tests.live_truth import Truth

KINDS = ("merge", "cleave", "split_supervoxel", "split_body", "renumber")


@pytest.fixture
def live():
    with DvidDouble() as dvid:
        yield live_connectome(dvid, psds=300)


@pytest.fixture
def editor(live):
    """Some edits were made before the run, so that positions in the log are not those of the run."""
    editor = Editor(live)
    editor.merge()
    editor.split_supervoxel()
    return editor


def position(out, editor):
    """The position in the log that the snapshot says it is of; it is said everywhere alike, and the state is that."""
    last = json.loads((out / "last-mutation.json").read_text())
    source = summary(out)["sources"]["inputs.dvid-seg"]
    said = last["snapshot"]
    assert (source["records"], source["mutid"]) == (said["records"], said["mutid"])
    record = editor.log[said["records"] - 1]
    assert said["mutid"] == last["mutid"] == record["MutationID"]
    assert last["action"] == record["Action"]
    assert said["consistent"] is True
    assert source.get("consistent", True) is True
    assert list(out.glob(f"tables/complete-nonsingleton-mapping-*-mutid-{said['mutid']}.feather"))
    return said["records"]


def assert_of_one_moment(out, editor, live):
    """The files agree with the state at the position that they name, and with that at no other."""
    at = position(out, editor)
    assert disagreements(out, Truth(editor.states[at]), live) == []
    others = [n for n, state in editor.states.items() if n != at and not disagreements(out, Truth(state), live)]
    assert others == []
    return at


# Where in the run the edits come: how a hook is set.
MOMENTS = {
    "before the mapping is read": lambda dvid, edit: dvid.before(1, edit, "segmentation/mappings$"),
    "while the mapping is streamed": lambda dvid, edit: dvid.midway(1, 1, edit, "segmentation/mappings$"),
    "before labels": lambda dvid, edit: dvid.before(2, edit, "segmentation/labels$"),
    "before sizes": lambda dvid, edit: dvid.before(1, edit, "segmentation/sizes$"),
    "after sizes": lambda dvid, edit: dvid.after(1, edit, "segmentation/sizes$"),
    "while annotations are read": lambda dvid, edit: dvid.before(1, edit, "segmentation_annotations/all$"),
    "while nuclei are read": lambda dvid, edit: dvid.after(1, edit, "nuclei/all-elements$"),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("when", ["while the mapping is streamed", "before labels"])
def test_an_edit_of_each_kind(live, editor, tmp_path, when, kind):  # M10
    MOMENTS[when](live.dvid, getattr(editor, kind))
    before = len(editor.log)
    out = snapshot(prepare(live, live.open, tmp_path))
    assert len(editor.log) > before, "the hook has run"
    at = assert_of_one_moment(out, editor, live)
    assert at == (len(editor.log) if when == "while the mapping is streamed" else before)


@pytest.mark.parametrize("when", sorted(MOMENTS))
def test_edits_of_all_kinds_at_any_moment(live, editor, tmp_path, when):  # M10
    MOMENTS[when](live.dvid, editor.all_kinds)
    before = len(editor.log)
    out = snapshot(prepare(live, live.open, tmp_path))
    assert len(editor.log) > before, "the hook has run"
    assert_of_one_moment(out, editor, live)


def test_edits_at_all_moments_of_one_run(live, editor, tmp_path):
    for when in MOMENTS.values():
        when(live.dvid, editor.all_kinds)
    out = snapshot(prepare(live, live.open, tmp_path))
    assert_of_one_moment(out, editor, live)


def test_the_version_is_committed_during_the_run(live, editor, tmp_path):
    live.dvid.before(1, lambda: live.repo.commit(live.open), "segmentation/labels$")
    out = snapshot(prepare(live, live.open, tmp_path))
    assert_of_one_moment(out, editor, live)
    source = summary(out)["sources"]["inputs.dvid-seg"]
    assert source["locked"] is False
    assert source["at-end"]["locked"] is True


def test_edits_then_a_commit_during_the_run(live, editor, tmp_path):
    def edit_and_commit():
        editor.all_kinds()
        live.repo.commit(live.open)

    live.dvid.before(1, edit_and_commit, "segmentation/labels$")
    out = snapshot(prepare(live, live.open, tmp_path))
    assert_of_one_moment(out, editor, live)
    assert summary(out)["sources"]["inputs.dvid-seg"]["at-end"]["records"] == len(editor.log)


def test_edits_that_cannot_be_replayed_make_the_mapping_be_read_again(live, editor, tmp_path):
    def reuse_a_label():
        first, second, third, *_ = live.seg.bodies(live.open)
        live.seg.merge(live.open, first, [second])
        live.seg.cleave(live.open, first, [second])
        live.seg.merge(live.open, third, [first])
        live.seg.merge(live.open, live.seg.bodies(live.open)[-1], [third])
        editor._done()

    live.dvid.midway(1, 1, reuse_a_label, "segmentation/mappings$")
    out = snapshot(prepare(live, live.open, tmp_path))
    at = position(out, editor)
    assert at == len(editor.log)
    assert disagreements(out, Truth(editor.states[at]), live) == []


def test_edits_that_are_faster_than_three_rounds_are_said_to_be(live, editor, tmp_path, caplog):
    def strange():
        live.seg.log_record(
            live.open, {"Action": "telepathy-complete", "MutationID": live.repo.next_mutation(), "UUID": live.open}
        )

    for reading in (1, 2, 3):
        live.dvid.midway(reading, 1, strange, "segmentation/mappings$")
    with caplog.at_level("WARNING"):
        out = snapshot(prepare(live, live.open, tmp_path))
    said = json.loads((out / "last-mutation.json").read_text())["snapshot"]
    assert said["consistent"] is False
    assert summary(out)["sources"]["inputs.dvid-seg"]["consistent"] is False
    assert len(live.dvid.asked("segmentation/mappings$")) == 3
    assert "others edit too fast" in caplog.text


def test_a_server_that_keeps_no_log_is_said_to_leave_it_open(live, editor, tmp_path, caplog):
    live.dvid.abilities.json_log = False
    with caplog.at_level("WARNING"):
        out = snapshot(prepare(live, live.open, tmp_path))
    assert json.loads((out / "last-mutation.json").read_text())["snapshot"]["consistent"] is False
    assert "keeps no log" in caplog.text
    assert disagreements(out, Truth(editor.states[len(editor.log)]), live) == []


@pytest.mark.parametrize("version", ["locked", "open"])
def test_a_second_run_without_edits_reuses_everything(live, editor, tmp_path, version):
    config = prepare(live, getattr(live, version), tmp_path)
    out = snapshot(config)
    before = contents(out)
    assert set(actions(out).values()) == {"run"}
    live.dvid.requests.clear()
    assert snapshot(config) == out
    assert set(actions(out).values()) == {"reuse"}
    assert live.dvid.asked("/(labels|mapping|mappings|sizes)$") == []
    assert differences(before, contents(out)) == []


@pytest.mark.parametrize("when", ["while the mapping is streamed", "before labels", "after sizes"])
def test_what_was_edited_during_a_run_is_in_the_next(live, editor, tmp_path, when):  # M10: keys made too early
    config = prepare(live, live.open, tmp_path, **{"job-settings.snapshot-tag": "same"})
    MOMENTS[when](live.dvid, editor.all_kinds)
    assert_of_one_moment(snapshot(config), editor, live)

    out = snapshot(config)
    assert position(out, editor) == len(editor.log)
    assert_of_one_moment(out, editor, live)
    expected = "reuse" if when == "while the mapping is streamed" else "run"
    assert actions(out).get("inputs.synapses", "reuse") == expected
    snapshot(config)
    assert set(actions(out).values()) == {"reuse"}


def test_an_edit_of_the_segmentation_alone_leaves_the_rest(live, editor, tmp_path):
    config = prepare(live, live.open, tmp_path)
    snapshot(config)
    editor.merge()
    out = snapshot(config)
    assert_of_one_moment(out, editor, live)
    done = actions(out)
    assert done["inputs.dvid-seg"] == done["inputs.synapses"] == done["outputs.flat-connectome"] == "run"
