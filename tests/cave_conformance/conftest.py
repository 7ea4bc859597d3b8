"""The services of which the conformance list is asserted: the double always, real ones where there are some.

CAVE_TEST_SERVER     address of the global services
CAVE_TEST_TOKEN      a token for them
CAVE_TEST_DATASTACK  a datastack that the token may view, with a synapse table and a version
CAVE_TEST_WRITE      any text: its volume may also be written to, and is left with a table more after each run
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.cave_conformance.serving import Services
from tests.cave_double import CaveDouble
from tests.cave_double.synthetic import synthetic_datastack

REAL_SERVER = os.environ.get("CAVE_TEST_SERVER", "")
MAY_WRITE = bool(os.environ.get("CAVE_TEST_WRITE"))


def all_services(kind: str) -> Iterator[Services]:
    """The services of a kind, to be asked."""
    if kind == "real":
        datastack = os.environ["CAVE_TEST_DATASTACK"]
        with Services(REAL_SERVER, os.environ.get("CAVE_TEST_TOKEN", ""), datastack) as services:
            yield services
        return
    with CaveDouble() as cave:
        stack = synthetic_datastack(cave, 3000)
        stack.graph.merge(*sorted(stack.graph.roots)[:2])
        with Services(cave.url, cave.token, stack.name) as services:
            yield services


@pytest.fixture(scope="module", params=["double", *(["real"] if REAL_SERVER else [])])
def services(request: pytest.FixtureRequest) -> Iterator[Services]:
    """Services that are only read from."""
    yield from all_services(request.param)


@pytest.fixture(scope="module", params=["double", *(["real"] if REAL_SERVER and MAY_WRITE else [])])
def writable(request: pytest.FixtureRequest) -> Iterator[Services]:
    """Services that may be written to."""
    yield from all_services(request.param)
