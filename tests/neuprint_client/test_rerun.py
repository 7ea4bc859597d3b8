"""Check 52: the content of the database does not depend on how the run was done."""

import neo4j
import pytest

from tests import neo4j_homes
from tests.neuprint_client import odd as inputs
from tests.neuprint_client.dump import digests
from tests.neuprint_client.serving import ingest
from tests.running import run_snapshot

OTHERWISE = {
    "outputs.neuprint.processes": 2,
    "outputs.neuprint.max-segment-files": 3,
    "outputs.neuprint.compress": "gzip",
    "job-settings.processes": 2,
    "job-settings.memory-limit": "1GB",
}


@pytest.fixture(scope="module")
def run_otherwise(tmp_path_factory):
    """Digests of the database of a run with other processes, memory, files and compression."""
    folder = tmp_path_factory.mktemp("otherwise")
    out = run_snapshot(inputs.write(folder, **OTHERWISE))
    assert len(list((out / "neuprint" / "Neuprint_Neurons").iterdir())) <= 4
    assert list((out / "neuprint").glob("Neuprint_Meta.csv.gz"))
    ingest("5.26", out)
    with (
        neo4j_homes.running("5.26", out / "neo4j" / "data") as bolt,
        neo4j.GraphDatabase.driver(bolt, auth=None) as driver,
    ):
        return digests(lambda cypher: [record.data() for record in driver.execute_query(cypher).records])


def test_52_a_run_with_other_processes_memory_files_and_compression_has_the_same_content(odd, run_otherwise):
    assert digests(odd.ask) == run_otherwise


def test_52_the_digest_notices_a_difference(odd):
    changed = digests(lambda cypher: [{**row, "n": 0} if "n" in row else row for row in odd.ask(cypher)])
    assert {name for name, digest in digests(odd.ask).items() if digest != changed[name]} == {"relationships"}
    assert all(number for number, _ in changed.values())
