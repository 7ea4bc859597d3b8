"""The DuckDB session: one connection with a memory limit, a thread count and a spill directory."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import duckdb
import pyarrow as pa

from flyem_snapshot.engine import sql

if TYPE_CHECKING:
    import pandas as pd

BATCH_ROWS = 1 << 17


@dataclass(frozen=True)
class Limits:
    """What a session may use: bytes of memory, threads, and the directory where DuckDB spills."""

    memory: int
    threads: int
    spill: Path


class Engine:
    """Runs SQL out of core.  Results are streams of record batches, or small tables where that is said.

    DuckDB keeps to `limits.memory`; record batches in flight and Python itself come on top (a few hundred MB).
    """

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        limits.spill.mkdir(parents=True, exist_ok=True)
        self.connection = duckdb.connect(
            config={
                "memory_limit": f"{limits.memory}B",
                "threads": limits.threads,
                "temp_directory": str(limits.spill),
                # Nothing may be fetched or loaded behind the user's back on a cluster node.
                "autoinstall_known_extensions": False,
                "autoload_known_extensions": False,
            }
        )
        self.connection.execute("SET preserve_insertion_order = true")
        self.connection.execute("SET enable_progress_bar = false")
        self.use_threads(limits.threads)

    def use_threads(self, threads: int) -> None:
        """Use so many threads from now on."""
        self.execute(f"SET threads = {threads}")
        pa.set_cpu_count(threads)

    def close(self) -> None:
        """End the session and remove what it spilled."""
        self.connection.close()
        shutil.rmtree(self.limits.spill, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def execute(self, statement: str) -> None:
        """Run a statement for its effect."""
        self.connection.execute(statement)

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        """The result of a query that yields few rows."""
        return self.connection.execute(statement).fetchall()

    def scalar(self, statement: str) -> Any:
        """The single value of a query."""
        return self.rows(statement)[0][0]

    def table(self, statement: str) -> pa.Table:
        """A small (at most body-scale) result as an Arrow table."""
        return self.connection.sql(statement).to_arrow_table()

    def stream(self, statement: str, batch_rows: int = BATCH_ROWS) -> pa.RecordBatchReader:
        """A result of any size, as record batches of about `batch_rows` rows, computed as they are read.

        Only one stream of a session can be open at a time.
        """
        return self.connection.sql(statement).to_arrow_reader(batch_rows)

    @contextmanager
    def registered(self, **sources: pa.RecordBatchReader | pa.Table | pd.DataFrame) -> Iterator[None]:
        """Give Arrow or pandas data a name for the statements run inside the `with`."""
        for name, source in sources.items():
            self.connection.register(name, source)
        try:
            yield
        finally:
            for name in sources:
                self.connection.unregister(name)

    def view(self, name: str, statement: str) -> None:
        """(Re)define a view of the session."""
        self.execute(f"CREATE OR REPLACE VIEW {sql.identifier(name)} AS {statement}")

    def drop_view(self, name: str) -> None:
        """Forget a view."""
        self.execute(f"DROP VIEW IF EXISTS {sql.identifier(name)}")

    def enum(self, name: str, values: list[str]) -> str:
        """(Re)define an enumeration type; returns its quoted name.  Views that use an older one must be redefined."""
        quoted = sql.identifier(name)
        self.execute(f"DROP TYPE IF EXISTS {quoted}")
        self.execute(f"CREATE TYPE {quoted} AS ENUM ({sql.literals(values)})")
        return quoted

    def copy_to_parquet(self, statement: str, path: Path) -> None:
        """Materialise a query as Parquet, rows in the order the query defines."""
        # A small dictionary limit keeps DuckDB from building dictionaries of ids, which halves the time.
        options = "FORMAT parquet, COMPRESSION lz4, DICTIONARY_SIZE_LIMIT 1024"
        self.execute(f"COPY ({statement}) TO {sql.literal(str(path))} ({options})")


def parquet(path: Path) -> str:
    """The SQL table expression for a Parquet file."""
    return f"read_parquet({sql.literal(str(path))})"
