"""The least that a tool on DuckDB must do for a flat connectome: read, join twice, write. Nothing is checked or sorted.

    python benchmarks/lower_bound.py --data FOLDER --out FOLDER --bytes 100000000

1. Each partner row is joined with its T-bar and its PSD, for the columns that the flat connectome has; the rows are
   written as Feather, in whatever order they come.
2. All columns of the points are written as Feather.
3. Plain bytes are written until the files are as large as those of the real thing. All are flushed to disk.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.dataset as ds

BATCH_ROWS = 1 << 17
BLOCK = 1 << 24

JOIN = """
    SELECT
        pre.x AS x_pre, pre.y AS y_pre, pre.z AS z_pre, pre.body AS body_pre, pre.conf AS conf_pre,
        post.x AS x_post, post.y AS y_post, post.z AS z_post, post.body AS body_post, post.conf AS conf_post,
        post.primary AS primary_post, pre.compartment AS compartment_pre, post.compartment AS compartment_post
    FROM partners
    JOIN points AS pre ON partners.pre_id = pre.point_id
    JOIN points AS post ON partners.post_id = post.point_id
    WHERE pre.kind = 'PreSyn' AND post.kind = 'PostSyn'
"""


def stream(session: duckdb.DuckDBPyConnection, statement: str, path: Path) -> int:
    """Write the rows of a query as they come; returns the size of the file."""
    options = pa.ipc.IpcWriteOptions(compression="lz4")
    with (
        session.sql(statement).to_arrow_reader(BATCH_ROWS) as rows,
        pa.OSFile(str(path), "wb") as sink,
        pa.ipc.new_file(sink, rows.schema, options=options) as writer,
    ):
        for batch in rows:
            writer.write_batch(batch)
    return flushed(path)


def fill(path: Path, size: int) -> None:
    """Write this many bytes."""
    block = os.urandom(BLOCK)
    with path.open("wb") as file:
        while size > 0:
            size -= file.write(block[:size])
    flushed(path)


def flushed(path: Path) -> int:
    """Wait until the file is on disk; returns its size."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())
    return path.stat().st_size


def main() -> None:
    parser = argparse.ArgumentParser(description="Read, join, write: the least time that the flat connectome can take.")
    parser.add_argument("--data", type=Path, required=True, help="folder that make_synapses.py has filled")
    parser.add_argument("--out", type=Path, required=True, help="folder for the results")
    parser.add_argument("--bytes", type=int, required=True, help="how much to write in all")
    parser.add_argument("--memory-limit", default="2GB", help="DuckDB's memory limit (default: 2GB)")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)), help="DuckDB's threads")
    arguments = parser.parse_args()

    out: Path = arguments.out
    out.mkdir(parents=True)
    settings = {
        "memory_limit": arguments.memory_limit,
        "threads": arguments.threads,
        "temp_directory": str(out / "spill"),
        "preserve_insertion_order": False,
    }
    with duckdb.connect(config=settings) as session:
        session.execute("SET enable_progress_bar = false")
        for name in ("points", "partners"):
            session.register(name, ds.dataset(arguments.data / f"{name}.feather", format="feather"))
        written = stream(session, JOIN, out / "joined.feather")
        written += stream(session, "SELECT * FROM points", out / "points.feather")
    fill(out / "rest", arguments.bytes - written)


if __name__ == "__main__":
    main()
