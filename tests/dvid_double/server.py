"""The server as a test sees it: data, and what it can do.  Life cycle, hooks and the log of requests are common."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tests.dvid_double.faults import Faults
from tests.dvid_double.graph import Graph, Repo
from tests.dvid_double.routing import Access
from tests.http_double import HttpDouble


@dataclass
class Abilities:
    """What a server of the age in question can do; switch off to get an older one."""

    binary_mappings: bool = True
    retired_mappings: bool = True  # entries with body 0, since 2022
    supervoxel_splits: bool = True
    json_log: bool = True
    branch_versions: bool = True
    steps_back: bool = True  # `:branch~N`
    maxlabel_of_children: bool = True
    valid_json_keyvalues: bool = True
    tar_keyvalues: bool = True
    cleave_sizes: bool = True  # sizes in records of the log
    empty_lists: bool = True  # `[]` where older servers send `null`
    version: str = "v1.0.0-254-g3400c2cb"


class DvidDouble(HttpDouble):
    """A DVID server in memory.

        with DvidDouble() as dvid:
            repo = dvid.new_repo("mushroom")
            seg = repo.labelmap("segmentation", cube)
            requests.get(f"{dvid.url}/api/node/{repo.root}/segmentation/mappings")

    `requests` lists what was asked; `faults` makes it misbehave; `after`, `before` and `midway` change its data at a
    point of the conversation; `abilities` makes it old; `access` says who may read.
    A mistake of the double itself answers 500 and is raised when the `with` block ends.
    """

    def __init__(self, *, admin_token: str | None = None, port: int = 0, log: bool = True) -> None:
        super().__init__(Faults(), port=port, log=log)
        self.graph = Graph(self)
        self.abilities = Abilities()
        self.access = Access(admin_token)
        self.log_pause = 0.002
        """Seconds for which a mutation log is being read, so that two readers at once are found out."""
        self.corrupt_overlapping_logs = True
        self.shuffle = True
        """Whether what has no order comes in a changed one."""
        self._log_readers: dict[str, int] = {}

    # --- data -------------------------------------------------------------------------------------------------------

    @property
    def lock(self) -> threading.RLock:
        """Held while data is read or changed."""
        return self.graph.lock

    @property
    def repos(self) -> list[Repo]:
        """All repositories."""
        return self.graph.repos

    @property
    def clock(self) -> Any:
        """Where times of nodes and mutations come from."""
        return self.graph.clock

    def new_repo(self, alias: str = "repo", *, root: str | None = None) -> Repo:
        """An empty repository with an open root; uuids depend on the alias and the order of creation only."""
        with self.lock:
            self.repos.append(Repo(self.graph, alias, root))
            return self.repos[-1]

    # --- reading logs -----------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def reading_log(self, key: str) -> Iterator[bool]:
        """Mark a mutation log as being read; True if somebody else reads it too, which spoils it (C.6)."""
        with self._hooks_lock:
            self._log_readers[key] = self._log_readers.get(key, 0) + 1
            crowded = self._log_readers[key] > 1
        try:
            self.stopping.wait(self.log_pause)
            yield crowded or self._log_readers[key] > 1
        finally:
            with self._hooks_lock:
                self._log_readers[key] -= 1
