"""What goes wrong between the server and a run is overcome, or is one clear error; the files are never in part."""

from __future__ import annotations

import re
from functools import partial

import pytest

from flyem_snapshot.errors import ServiceError
from flyem_snapshot.sources.dvid import connections
from flyem_snapshot.sources.dvid.http import DvidClient
from tests.dvid_double import DvidDouble
from tests.live_connectome import live_connectome
from tests.live_runs import contents, differences, prepare, snapshot
from tests.running import run

TOKEN = "s3cr3t-admin-token"  # noqa: S105 - the test looks for it
BEARER = "b34r3r-t0k3n"
ENDPOINTS = (
    "/info$",
    "/mutations$",
    "segmentation/labels$",
    "segmentation/mapping$",
    "segmentation/mappings$",
    "segmentation/sizes$",
    "_annotations/all$",
    "nuclei/all-elements$",
    "A.R./roi$",
    "layers/blocks/",
    "skeletons/keyvalues$",
    "meshes/keyvalues$",
)
OBJECTS = {
    "outputs.skeletons.main": {
        "export-skeletons": True,
        "dvid": {"instance": "segmentation_skeletons"},
        "coordinate-resolution-nm": [8, 8, 8],
    },
    "outputs.meshes.main": {
        "export-meshes": True,
        "dvid": {"instance": "segmentation_meshes"},
        "exclude-statuses": [],
    },
    "job-settings.snapshot-tag": "same",
}


@pytest.fixture(scope="module")
def double():
    with DvidDouble(admin_token=TOKEN) as dvid:
        yield dvid


@pytest.fixture(scope="module")
def shared_live(double):
    return live_connectome(double, psds=300)


@pytest.fixture
def live(shared_live):
    """Nothing of it is changed by these tests; faults of the test before are gone."""
    shared_live.dvid.wait_until_back()
    shared_live.dvid.faults.clear()
    shared_live.dvid.requests.clear()
    yield shared_live
    shared_live.dvid.wait_until_back()
    shared_live.dvid.faults.clear()


@pytest.fixture
def short_pauses(monkeypatch):
    """The client as it is, but for the seconds between its tries."""
    monkeypatch.setattr(connections, "DvidClient", partial(DvidClient, pause=0.02))


def config(live, folder, version="locked", **changes):
    return prepare(live, getattr(live, version), folder, **{**OBJECTS, **changes})


@pytest.fixture(scope="module")
def undisturbed(shared_live, tmp_path_factory):
    """The files of runs that nothing disturbs, of both versions."""
    return {
        version: contents(snapshot(config(shared_live, tmp_path_factory.mktemp("calm"), version)))
        for version in ("locked", "open")
    }


FAULTS = {
    "503 three times": lambda faults, path: faults.status(503, path, times=3),
    "panic": lambda faults, path: faults.panic(path),
    "cut": lambda faults, path: faults.cut(path),
    "reset": lambda faults, path: faults.reset(path),
    "truncated": lambda faults, path: faults.truncated(path),
    "nothing arrives": lambda faults, path: faults.truncated(path, after=0),
    "appended error": lambda faults, path: faults.appended(path),
    "appended error of whole records": lambda faults, path: faults.appended(
        path, text="Error: no storage is left there!"
    ),
    "a proxy's page": lambda faults, path: faults.replaced(b"<html><body>Gateway</body></html>", path),
}
MAY_BE_EMPTY = {"layers/blocks/"}
"""An answer without a byte is one there: no block has voxels."""


@pytest.mark.parametrize("kind", FAULTS)
def test_a_fault_at_every_endpoint_of_a_run_is_overcome(live, undisturbed, tmp_path, short_pauses, kind):
    path = config(live, tmp_path, "open")
    endpoints = [e for e in ENDPOINTS if kind != "nothing arrives" or e not in MAY_BE_EMPTY]
    struck = [FAULTS[kind](live.dvid.faults, endpoint) for endpoint in endpoints]
    out = snapshot(path)
    assert [fault.path for fault in struck if not fault.hits] == []
    assert differences(contents(out), undisturbed["open"]) == []


@pytest.mark.parametrize("after", [None, 10])
def test_answers_that_do_not_come_in_time_are_asked_for_again(live, undisturbed, tmp_path, short_pauses, after):  # M19
    path = config(live, tmp_path, "open", **{"job-settings.dvid-timeout": 0.5})
    endpoints = ("segmentation/labels$", "segmentation/mappings$", "_annotations/all$", "skeletons/keyvalues$")
    for endpoint in endpoints:
        live.dvid.faults.stall(endpoint, seconds=30, after=after)
    assert differences(contents(snapshot(path)), undisturbed["open"]) == []


def test_a_restart_of_the_server_in_the_middle_is_overcome(live, undisturbed, tmp_path):
    for endpoint in ("segmentation/labels$", "segmentation/sizes$"):
        live.dvid.before(1, lambda: live.dvid.restart(0.3), endpoint)
    assert differences(contents(snapshot(config(live, tmp_path))), undisturbed["locked"]) == []


LASTING = {
    "refused": lambda faults, path: faults.status(400, path, text="no such thing", times=None),
    "panic": lambda faults, path: faults.panic(path, times=None),
    "truncated": lambda faults, path: faults.truncated(path, times=None),
    "503": lambda faults, path: faults.status(503, path, times=None),
}


@pytest.mark.parametrize(
    ("version", "kind", "endpoint"),
    [
        ("open", "panic", "/info$"),
        ("open", "truncated", "/mutations$"),
        ("locked", "truncated", "segmentation/labels$"),
        ("locked", "truncated", "segmentation/mapping$"),
        ("open", "503", "segmentation/mappings$"),
        ("open", "truncated", "segmentation/mappings$"),
        ("locked", "panic", "segmentation/sizes$"),
        ("open", "truncated", "_annotations/all$"),
        ("locked", "refused", "nuclei/all-elements$"),
        ("open", "refused", "A.R./roi$"),
        ("locked", "truncated", "layers/blocks/"),
        ("locked", "panic", "skeletons/key"),
        ("open", "panic", "meshes/key"),
    ],
)
def test_a_fault_that_lasts_is_one_error_that_names_the_request_and_the_next_run_makes_it_good(
    live, undisturbed, tmp_path, short_pauses, version, kind, endpoint
):
    path = config(live, tmp_path, version)
    LASTING[kind](live.dvid.faults, endpoint)
    with pytest.raises(ServiceError) as caught:
        snapshot(path)
    words = str(caught.value)
    assert live.dvid.url in words
    assert re.search(endpoint.split("/")[-1].strip("$") or "blocks", words)
    assert len(words.splitlines()) <= 2
    assert not (tmp_path / "out" / "MANIFEST.json").exists()

    live.dvid.faults.clear()
    assert differences(contents(snapshot(path)), undisturbed[version]) == []
    assert not list(tmp_path.glob("out/cache/resume/*/*"))


def test_a_proxy_that_always_drops_the_bodies_of_requests_is_named_as_the_cause(live, tmp_path):
    live.dvid.faults.drop_get_bodies()
    path = config(live, tmp_path)
    finished = run("-c", path)
    assert finished.returncode == 1
    assert "Traceback" not in finished.stderr
    assert "proxy" in finished.stderr.lower()


@pytest.mark.parametrize("version", ["locked", "open"])
def test_requests_say_who_asks_and_logs_are_read_one_at_a_time_and_once(live, tmp_path, version):  # M31
    snapshot(config(live, tmp_path, version, **{"job-settings.dvid-user": "the-user"}))
    dvid = live.dvid
    assert {request.args.get("u") for request in dvid.requests} == {"the-user"}
    assert {request.args.get("app") for request in dvid.requests} == {"flyem-snapshot"}
    assert dvid.overlapping("/mutations$") == []
    logs = [request.path for request in dvid.asked("/mutations$")]
    locked = [path for path in logs if live.open not in path]
    assert len(locked) == len(set(locked))
    # One description of the repository is enough for a run; another at the end of it, to see whether it was committed.
    assert len(dvid.asked("/api/repo/.*/info$")) <= 2
    assert all(r.status == 200 for r in dvid.requests)


@pytest.mark.parametrize("version", ["locked", "open"])
def test_tables_with_supervoxels_cost_no_second_look_at_any_log(live, tmp_path, version):  # M31
    path = config(live, tmp_path, version)
    uuid = getattr(live, version)
    live.write_synapses(tmp_path, sv=live.supervoxels(uuid, live.zyx))
    live.dvid.requests.clear()
    snapshot(path)
    logs = [request.path for request in live.dvid.asked("/mutations$") if live.open not in request.path]
    assert len(logs) == len(set(logs))
    assert live.dvid.overlapping("/mutations$") == []


@pytest.mark.parametrize("fails", [False, True])
def test_secrets_are_nowhere(live, tmp_path, fails):  # M21
    path = config(live, tmp_path, "open", **{"job-settings.logging-config": {"root": {"level": "DEBUG"}, "version": 1}})
    if fails:
        live.dvid.faults.status(400, "segmentation/sizes$", text=f"bad request by {TOKEN}", times=None)
        live.dvid.faults.reset("labels$", times=1)
    environment = {"DVID_ADMIN_TOKEN": TOKEN, "DVID_TOKEN": BEARER}
    finished = run("-c", path, environment=environment)
    assert finished.returncode == (1 if fails else 0), finished.stdout + finished.stderr
    for secret in (TOKEN, BEARER):
        assert secret not in finished.stdout + finished.stderr
        for file in (p for p in tmp_path.rglob("*") if p.is_file()):
            assert secret.encode() not in file.read_bytes(), file
    for request in live.dvid.requests:
        assert "admintoken" not in request.args
        assert TOKEN not in str(request.headers)
    assert {request.headers.get("authorization") for request in live.dvid.requests} == {f"Bearer {BEARER}"}


def test_batches_are_large_and_bounded(live, tmp_path):  # M4
    snapshot(config(live, tmp_path))
    for endpoint, most in (("labels", 10_000), ("mapping", 50_000), ("sizes", 1_000), ("keyvalues", 500)):
        asked = [len(request.json()) for request in live.dvid.asked(f"/{endpoint}$")]
        assert asked
        assert max(asked) <= most
    # 600 synapses, 30 nuclei and 40 mitochondria, each once, and nuclei twice (for their bodies, and as elements).
    assert len(live.dvid.asked("/labels$")) <= 4
