"""The databases that the checks ask: two versions of Neo4j, two connectomes."""

import contextlib
import shutil
from pathlib import Path

import pytest

from tests import neo4j_homes
from tests.neuprint_client import odd as odd_inputs
from tests.neuprint_client import real
from tests.neuprint_client.serving import Served, ingest, served
from tests.running import run_snapshot

SAMPLE = {"odd": 10_000, "example": 25}
WORDS = {"odd": ("abc", "kc", "schmidt", "größe"), "example": ("kca", "apl")}


def pytest_generate_tests(metafunc):
    """Run a check on each connectome in each version of Neo4j; one that asks for `odd`, on the odd one only."""
    if "db" in metafunc.fixturenames:
        names = ["odd"] if "odd" in metafunc.fixturenames else list(SAMPLE)
        # The example is asked in one version: what versions treat differently is in the odd one, and 5.26 also has the
        # synthetic connectome of test_large.py.
        which = [f"{n}-{v}" for n in names for v in neo4j_homes.VERSIONS if n == "odd" or v != neo4j_homes.VERSIONS[-1]]
        metafunc.parametrize("db", which, indirect=True, scope="session")


def pytest_collection_modifyitems(items):
    """The client's own use of pandas is not ours to mend; what it says of the data still is an error."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.filterwarnings("ignore::DeprecationWarning:neuprint"))


@pytest.fixture(scope="session")
def exported(tmp_path_factory):
    """The output directory of a finished run, made once: of the odd connectome, or of the shipped example."""
    made: dict[str, Path] = {}

    def export(name: str) -> Path:
        if name not in made:
            folder = tmp_path_factory.mktemp(name)
            made[name] = run_snapshot(odd_inputs.write(folder) if name == "odd" else real.example(folder))
        return made[name]

    return export


@pytest.fixture(scope="session")
def db(request, exported, tmp_path_factory):
    """A connectome in a version of Neo4j, served; one after the other."""
    name, version = request.param.split("-")
    folder = tmp_path_factory.mktemp(request.param)
    out = shutil.copytree(exported(name), folder / "out")
    ingest(version, out)
    with served(version, out, folder, sample=SAMPLE[name], search_words=WORDS[name]) as database:
        yield database


@pytest.fixture
def odd(db):
    """The odd connectome."""
    return db


@pytest.fixture(scope="module")
def another(tmp_path_factory):
    """Export, import and serve something else beside: `another(version, write, sample=..., **settings)`."""
    with contextlib.ExitStack() as stack:

        def serve(version, write, *, sample=10_000) -> Served:
            folder = tmp_path_factory.mktemp("another")
            out = run_snapshot(write(folder))
            ingest(version, out)
            return stack.enter_context(served(version, out, folder, sample=sample, search_words=()))

        yield serve
