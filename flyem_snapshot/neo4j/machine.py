"""How much memory and how many processors the importer and the server get on this machine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from flyem_snapshot.engine.limits import available_cpus, available_memory
from flyem_snapshot.errors import SnapshotError

MIB: Final = 1 << 20
SHARE: Final = 0.8
"""Of what the process may use; the rest is the page cache's and Java's own."""

_LEAST: Final = 1024 * MIB
_LEAST_HEAP: Final = 512 * MIB
_MOST_HEAP: Final = 16 * 1024 * MIB


@dataclass(frozen=True)
class Machine:
    """Bytes of memory in all, of them `heap` inside Java, and processors."""

    memory: int
    processors: int

    @classmethod
    def here(cls, memory: int | None = None, processors: int | None = None) -> Machine:
        """What was asked for; by default most of what the machine, the control group or the batch system grants."""
        granted = int(available_memory() * SHARE) if memory is None else memory
        if granted < _LEAST:
            raise SnapshotError(
                f"{granted // MIB} MiB of memory is too little for Neo4j",
                hint="it needs 1 GiB at least; see --memory",
            )
        return cls(granted, available_cpus() if processors is None else processors)

    @property
    def heap(self) -> int:
        """Java's heap: a quarter, within reason."""
        return min(max(self.memory // 4, _LEAST_HEAP), _MOST_HEAP)

    @property
    def off_heap(self) -> int:
        """What is left beside the heap: the importer's tables, or the server's page cache."""
        return self.memory - self.heap


def mebibytes(count: int) -> str:
    """A size as Java and Neo4j write it: `1536m`."""
    return f"{count // MIB}m"
