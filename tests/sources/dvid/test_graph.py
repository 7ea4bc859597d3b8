"""Which node a reference means, where it comes from, and what its repository holds."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyem_snapshot.sources.dvid.failures import DvidError
from flyem_snapshot.sources.dvid.graph import resolve
from flyem_snapshot.sources.dvid.http import DvidClient
from flyem_snapshot.sources.dvid.times import moment
from tests.dvid_double import DvidDouble

ROOT, A, B, SIDE, OTHER = (digit * 32 for digit in "1a2bc")


@pytest.fixture
def dvid():
    with DvidDouble() as dvid:
        yield dvid


@pytest.fixture
def repo(dvid):
    """ROOT - A - B on master, SIDE and OTHER on branches of their own; B is open."""
    repo = dvid.new_repo("brain", root=ROOT)
    repo.commit(ROOT, "first import")
    repo.child(ROOT, new_uuid=A)
    repo.commit(A)
    repo.child(A, new_uuid=B)
    repo.child(A, "side", new_uuid=SIDE)
    repo.commit(SIDE)
    repo.child(SIDE, "other", new_uuid=OTHER)
    return repo


def client_of(dvid):
    return DvidClient(dvid.url, user="tester", pause=0.001)


def uuid_of(dvid, reference):
    return resolve(client_of(dvid), reference).uuid


# --- what a reference means ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        (A, A),
        ("aaa", A),
        (" 2 ", B),
        (":master", B),
        (":", B),
        ("master", B),
        ("a:master", B),
        ("a:", B),
        ("side", SIDE),
        (":side", SIDE),
        ("1:side", SIDE),
        (":master~0", B),
        (":master~1", A),
        ("master~2", ROOT),
        ("1:side~2", ROOT),
        ("other~1", SIDE),
        ("c", OTHER),
    ],
)
@pytest.mark.parametrize("branch_versions", [True, False])
def test_a_reference_means_one_node(dvid, repo, reference, expected, branch_versions):
    dvid.abilities.branch_versions = branch_versions
    assert uuid_of(dvid, reference) == expected


@pytest.mark.parametrize("branch_versions", [True, False])
@pytest.mark.parametrize("reference", [":master~3", "master~100", ":side~3"])
def test_going_back_beyond_the_root_is_an_error_and_never_wraps_round(dvid, repo, reference, branch_versions):  # M13
    dvid.abilities.branch_versions = branch_versions
    with pytest.raises(DvidError, match="means no node here|goes beyond the root"):
        uuid_of(dvid, reference)


def test_going_back_beyond_the_root_is_found_out_even_if_the_server_does_not_mind(dvid, repo):  # M13
    info = json.dumps(repo.described()).encode()
    dvid.faults.replaced(info, "/info", times=None)
    with pytest.raises(
        DvidError, match="(?s)'~3' goes beyond the root: branch 'master' has 3 versions.*~2 is the root"
    ):
        uuid_of(dvid, ":master~3")
    with pytest.raises(DvidError, match="(?s)there is no branch 'sid'.*did you mean 'side'?"):
        uuid_of(dvid, ":sid")


@pytest.mark.parametrize("branch_versions", [True, False])
def test_at_a_merge_the_last_parent_is_followed_and_the_others_are_counted(dvid, repo, branch_versions):  # M13
    dvid.abilities.branch_versions = branch_versions
    repo.commit(B)
    repo.commit(OTHER)
    merged = repo.merge(OTHER, B)
    repo.commit(merged)
    leaf = repo.child(merged)
    node = resolve(client_of(dvid), ":master")
    assert node.uuid == leaf
    assert node.chain == (ROOT, A, B, merged, leaf)
    assert node.dag[merged].parents == (OTHER, B)
    assert [uuid_of(dvid, f":master~{back}") for back in range(6)] == [leaf, merged, OTHER, B, A, ROOT]


@pytest.mark.parametrize("reference", ["", "   ", "a:b:c", "x~1:y", "a:b~c", "a:b~-1", "~1x"])
def test_what_cannot_be_a_reference_is_not_asked_for(dvid, repo, reference):
    with pytest.raises(DvidError, match="cannot mean a node"):
        uuid_of(dvid, reference)
    assert not dvid.requests


def test_an_ambiguous_beginning_is_an_error_in_the_servers_words(dvid, repo):  # M22
    repo.child(A, "third", new_uuid="a" * 31 + "0")
    with pytest.raises(DvidError, match="more than one UUID matches aaa") as caught:
        uuid_of(dvid, "aaa")
    assert caught.value.status == 400
    assert uuid_of(dvid, A) == A


def test_a_name_that_means_nothing_is_an_error_that_says_what_was_tried(dvid, repo):
    with pytest.raises(DvidError, match=r"(?s)'nope' means no node here.*partial match to nope.*branch \"nope\""):
        uuid_of(dvid, "nope")


@pytest.mark.parametrize("status", [401, 403, 429, 500, 503])
def test_only_a_400_can_mean_that_there_is_no_such_node(dvid, repo, status):  # M22
    dvid.faults.status(status, "/info", text="as it may be", times=None)
    with pytest.raises(DvidError, match="as it may be") as caught:
        uuid_of(dvid, "master")
    assert caught.value.status == status
    assert "means no node" not in str(caught.value)
    assert {request.path for request in dvid.requests} == {"/api/repo/master/info"}


def test_a_missing_login_is_not_taken_for_a_missing_node(dvid, repo):  # M22
    dvid.access.mode = "jwt"
    with pytest.raises(DvidError, match="(?s)JWT required.*DVID_TOKEN"):
        uuid_of(dvid, "aaa")
    assert len(dvid.requests) == 1


def test_with_several_repositories_a_branch_needs_a_uuid(dvid, repo):
    other = dvid.new_repo("liver")
    with pytest.raises(DvidError, match="(?s)several repositories") as caught:
        uuid_of(dvid, "master")
    assert f"{ROOT} (brain)" in caught.value.hint
    assert f"{other.root} (liver)" in caught.value.hint
    assert uuid_of(dvid, "1:master") == B
    assert uuid_of(dvid, f"{other.root}:master") == other.root


def test_the_repositorys_document_is_asked_for_once(dvid, repo):  # M31
    uuid_of(dvid, A)
    assert [request.path for request in dvid.requests] == [f"/api/repo/{A}/info"]


def test_a_visitor_sees_public_nodes_only_and_gets_the_newest_of_them(dvid, repo, monkeypatch):
    monkeypatch.delenv("DVID_TOKEN", raising=False)
    dvid.access.mode = "dsg"
    dvid.access.public = {ROOT, A}
    info = json.dumps(repo.described({ROOT, A})).encode()
    dvid.faults.replaced(info, "repo/:master/info", times=None)
    node = resolve(client_of(dvid), ":master")
    assert node.uuid == A
    assert node.chain == (ROOT, A)
    assert node.dag[A].children == ()


def test_a_node_that_is_hidden_from_us_is_named(dvid, repo):
    info = json.dumps(repo.described({ROOT})).encode()
    dvid.faults.replaced(info, f"repo/{A}/info")
    with pytest.raises(DvidError, match="does not show it to us"):
        uuid_of(dvid, A)


# --- what a node knows -----------------------------------------------------------------------------------------------


def test_a_node_knows_where_it_comes_from_and_what_lies_around_it(dvid, repo):
    node = resolve(client_of(dvid), "master")
    assert (node.uuid, node.locked, node.branch, node.repo_root, node.alias) == (B, False, "", ROOT, "brain")
    assert node.chain == (ROOT, A, B)
    assert set(node.dag) == {ROOT, A, B, SIDE, OTHER}
    root = node.dag[ROOT]
    assert (root.parents, root.children, root.locked, root.note) == ((), (A,), True, "first import")
    assert root.created == datetime(2024, 2, 1, 12, 0, 0, tzinfo=UTC)
    assert root.updated == datetime(2024, 2, 1, 12, 2, 0, tzinfo=UTC), "the zone of the text is another"
    assert node.dag[A].children == (B, SIDE)
    assert node.dag[SIDE].branch == "side"
    assert node.dag[B].children == node.dag[OTHER].children == (), "one of them comes as null"


def test_a_node_that_is_locked_meanwhile_is_so_when_it_is_asked_again(dvid, repo):
    node = resolve(client_of(dvid), ":master")
    repo.commit(B)
    assert not node.locked
    assert node.refreshed().locked
    assert node.refreshed().uuid == B


def test_a_reference_is_resolved_once_so_the_node_stays_when_the_branch_grows(dvid, repo):
    node = resolve(client_of(dvid), ":master")
    repo.commit(B)
    repo.child(B)
    assert node.refreshed().uuid == B


def test_paths_are_quoted(dvid, repo):
    node = resolve(client_of(dvid), A)
    assert node.path("FB(R)", "key", "a/b c") == f"api/node/{A}/FB%28R%29/key/a%2Fb%20c"
    assert node.path_at(B, "seg") == f"api/node/{B}/seg"


def test_an_instance_has_a_type_and_an_identity(dvid, repo):
    labels = repo.labelmap("segmentation")
    repo.annotation("synapses")
    node = resolve(client_of(dvid), A)
    found = node.instance("segmentation", "labelmap")
    assert (found.name, found.typename, found.data_uuid) == ("segmentation", "labelmap", labels.data_uuid)
    assert list(found.extended["BlockSize"]) == [64, 64, 64]
    with pytest.raises(DvidError, match="(?s)no instance 'segmentatoin'.*did you mean 'segmentation'?"):
        node.instance("segmentatoin")
    with pytest.raises(DvidError, match="(?s)no instance 'zzz'.*there are: segmentation, synapses"):
        node.instance("zzz")
    with pytest.raises(DvidError, match="'synapses' is of type annotation, not labelmap or labelblk"):
        node.instance("synapses", "labelmap", "labelblk")


def test_the_words_of_a_document_may_be_null(dvid, repo):
    info = repo.described()
    info["Alias"] = info["DataInstances"] = None
    info["DAG"]["Nodes"][A] |= {"Note": None, "Parents": None, "Created": None, "Updated": "yesterday"}
    dvid.faults.replaced(json.dumps(info).encode(), "/info")
    node = resolve(client_of(dvid), A)
    assert (node.alias, node.instances, node.chain) == ("", {}, (A,))
    assert (node.dag[A].created, node.dag[A].updated, node.dag[A].note) == (None, None, "")


def test_a_document_without_a_graph_is_no_answer(dvid, repo):
    dvid.faults.replaced(b'{"Root": "x"}', "/info", times=None)
    with pytest.raises(DvidError, match="must hold DAG.Nodes"):
        uuid_of(dvid, A)


# --- times -----------------------------------------------------------------------------------------------------------

SECOND = datetime(2021, 3, 16, 21, 24, 37, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2021-03-16 21:24:37.454557758 +0000 UTC m=+780305.871619215", SECOND.replace(microsecond=454557)),
        ("2021-03-16 21:24:37 +0000 UTC m=+780305", SECOND),  # M25
        ("2021-03-16 21:24:37 +0000 UTC", SECOND),
        ("2021-03-16 17:24:37.5 -0400 EDT m=+0.1", SECOND.replace(microsecond=500_000)),
        ("2021-03-16T21:24:37Z", SECOND),
        ("2021-03-16T21:24:37.123456789Z", SECOND.replace(microsecond=123456)),
        ("2021-03-16T17:24:37-04:00", SECOND),
        ("2021-03-17T02:54:37.1+05:30", SECOND.replace(microsecond=100_000)),
        ("0001-01-01T00:00:00Z", None),
        ("0001-01-01 00:00:00 +0000 UTC", None),
        ("0001-01-01T00:00:00+05:00", None),
        ("2021-02-30T00:00:00Z", None),
        ("2021-03-16T21:24:37", None),
        ("yesterday", None),
        ("", None),
        (None, None),
        (1616000000, None),
    ],
)
def test_times_are_read_in_both_forms(text, expected):
    assert moment(text) == expected


@given(st.datetimes(min_value=datetime(1900, 1, 1), timezones=st.timezones()), st.integers(0, 9))  # noqa: DTZ001
def test_a_time_loses_nothing_but_digits_beyond_microseconds(when, digits):
    offset = when.strftime("%z")[:5]
    if len(when.strftime("%z")) > 5:  # zones of long ago had seconds, which Go's form has not
        return
    fraction = f"{when.microsecond:06d}000"[:digits]
    shown = f"{when:%Y-%m-%d %H:%M:%S}{'.' + fraction if fraction else ''} {offset} ZZZ m=+1.5"
    kept = int((fraction + "000000")[:6])
    assert moment(shown) == when.replace(microsecond=kept).astimezone(UTC)
