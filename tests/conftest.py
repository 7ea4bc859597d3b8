"""What every test may use."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared"

# A slow or busy machine is no failure; a failure prints what reproduces it.
settings.register_profile("flyem-snapshot", deadline=None, print_blob=True)
settings.load_profile("flyem-snapshot")


# In the background of a script SIGINT is ignored, and programs inherit that; those that we start must be like a user's.
if threading.current_thread() is threading.main_thread():
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Most tests are not about pictures, and a browser takes a second to start.
os.environ["BROWSER_PATH"] = "off"


@pytest.fixture
def pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the test draw PNGs with the machine's own browser."""
    monkeypatch.delenv("BROWSER_PATH")


@pytest.fixture(scope="session")
def root() -> Path:
    """The top of the checkout."""
    return ROOT


@pytest.fixture(scope="session")
def shared() -> Path:
    """Larger real data sets and generators, in a directory `shared` beside the checkout."""
    return SHARED


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave out the tests that ask for `shared`, directly or through a fixture, where there is none.

    They are not collected rather than skipped: a skip would be noise for whoever has only the clone, and where the
    directory exists nothing may be skipped at all.
    """
    if not SHARED.is_dir():
        items[:] = [item for item in items if "shared" not in getattr(item, "fixturenames", ())]


SHARED_DATABASES = ("bridge", "neo4j", "neuprint_client")
"""Folders whose modules share databases, which take a minute to make."""


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """With `pytest -n 2` one worker has all tests of a module, or of a folder that shares databases."""
    from xdist.scheduler import LoadScopeScheduling  # noqa: PLC0415 - only where xdist is installed

    class ByModuleOrFolder(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            module = nodeid.partition("::")[0]
            folder = module.removeprefix("tests/").partition("/")[0]
            return folder if folder in SHARED_DATABASES else module

    return ByModuleOrFolder(config, log)
