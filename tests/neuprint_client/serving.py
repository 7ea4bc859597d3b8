"""A snapshot from its configuration to a client: export, import into a real Neo4j, bridge, neuprint-python."""

import contextlib
import re
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import neo4j
import neuprint
import pandas as pd

from tests import neo4j_homes
from tests.neuprint_client.flat import Flat


@dataclass
class Served:
    """A database that answers, its client, and the flat tables of the run that made it."""

    dataset: str
    version: str
    flat: Flat
    client: neuprint.Client
    driver: neo4j.Driver
    sample: list[int]
    search_words: tuple[str, ...]

    def ask(self, cypher: str, **parameters: Any) -> list[dict[str, Any]]:
        """Rows straight from the database, not through the bridge."""
        records, _, _ = self.driver.execute_query(cypher, parameters_=parameters)
        return [record.data() for record in records]

    def everybody(self) -> neuprint.NeuronCriteria:
        """All Segments; without the label the client asks for Neurons only."""
        return neuprint.NeuronCriteria(label="Segment", client=self.client)

    def sampled(self) -> neuprint.NeuronCriteria:
        """The bodies of `sample`."""
        return neuprint.NeuronCriteria(bodyId=self.sample, client=self.client)

    @cached_property
    def _fetched(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        return neuprint.fetch_neurons(self.everybody(), client=self.client)

    @property
    def neurons(self) -> pd.DataFrame:
        """fetch_neurons of everybody."""
        return self._fetched[0]

    @property
    def roi_counts(self) -> pd.DataFrame:
        """The counts by ROI of fetch_neurons."""
        return self._fetched[1]


def ingest(version: str, out: Path) -> str:
    """Import a finished snapshot into a database of Neo4j's `version`; returns what the command said."""
    command = [sys.executable, "-m", "flyem_snapshot.cli.ingest", str(out), "--runtime", "local"]
    command += ["--neo4j-home", str(neo4j_homes.home(version)), "--neo4j-version", version, "--memory", "2GB"]
    finished = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return finished.stdout + finished.stderr


@contextlib.contextmanager
def served(version: str, out: Path, scratch: Path, *, sample: int, search_words: tuple[str, ...]) -> Iterator[Served]:
    """Start the imported database of `out` and the bridge; `sample` bodies with most synapses stand for all."""
    flat = Flat(out)
    meta = flat.meta
    dataset = f"{meta['dataset']}:{meta['tag']}" if meta["tag"] else meta["dataset"]
    with (
        neo4j_homes.running(version, out / "neo4j" / "data") as bolt,
        neo4j.GraphDatabase.driver(bolt, auth=None) as driver,
        bridge(out, bolt, scratch) as (address, certificate),
    ):
        client = neuprint.Client(address, dataset, token=uuid.uuid4().hex, verify=certificate, progress=False)
        # The client insists on a token, the bridge asks for none.
        neuprint.set_default_client(client)  # some functions of the client ask the default one whatever they are given
        bodies = sorted(flat.B.sort_values("rank").index[:sample].tolist())
        yield Served(dataset, version, flat, client, driver, bodies, search_words)
        neuprint.clear_default_client()


@contextlib.contextmanager
def bridge(out: Path, bolt: str, scratch: Path) -> Iterator[tuple[str, str]]:
    """serve-neuprint-snapshot in a process of its own: its address, and its certificate."""
    log = scratch / "bridge.log"
    tls = scratch / "tls"
    command = [sys.executable, "-u", "-m", "flyem_snapshot.cli.serve", str(out), "--bolt", bolt]
    with log.open("wb") as stream:
        server = subprocess.Popen(
            [*command, "--port", "0", "--tls-dir", str(tls)],
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
        )
    try:
        yield _address(server, log), str(tls / "certificate.pem")
    finally:
        server.terminate()
        server.wait(timeout=60)


def _address(server: subprocess.Popen[bytes], log: Path) -> str:
    last = time.monotonic() + 60
    while not (found := re.search(r"serving .* at (https://\S+)", log.read_text())):
        assert server.poll() is None, log.read_text()
        assert time.monotonic() < last, log.read_text()
        time.sleep(0.05)
    return found[1]
