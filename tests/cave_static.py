"""Tables of a datastack in files, and the stage run on them, for tests of what becomes of their rows."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import feather

from flyem_snapshot.inputs.cave.load import load_cave
from flyem_snapshot.inputs.cave.settings import CaveSettings
from tests.contexts import make_context
from tests.writing import write_table

R = 864691134988869440
"""A body; others differ from it in the last digits only."""


def loader(tmp_path: Path) -> Any:
    """A function that runs the stage on tables, given as columns or as files; it returns the tables that it made."""

    def loaded(tables: dict[str, Any], suffix: str = ".feather", preset: str | None = "microns", **settings: Any):
        entries = {}
        for name, content in tables.items():
            entry = (
                content if isinstance(content, dict) and "file" in content else {"file": tmp_path / f"{name}{suffix}"}
            )
            if entry is not content:
                write_table(content, entry["file"], rows=3)
            entries[name] = entry
        given = {"static": {"preset": preset, "tables": entries}}
        config = CaveSettings.model_validate({**given, **{k.replace("_", "-"): v for k, v in settings.items()}})
        assert [*config.problems()] == []
        ctx = make_context(tmp_path)
        made = load_cave(config, ctx)
        read = SimpleNamespace(
            points=pq.read_table(ctx.out.path(made.points)),
            partners=pq.read_table(ctx.out.path(made.partners)),
            annotations=made.annotations and feather.read_table(ctx.out.path(made.annotations)),
            transmitters=made.transmitters and pq.read_table(ctx.out.path(made.transmitters)),
            counts={what: number for what, number in made.counts.items() if number},
            left_out={(e.table, e.reason): e.rows for e in ctx.exclusions.entries},
            about=made.about,
        )
        ctx.engine.close()
        return read

    return loaded


def synapse(rows: int = 4, **changes: Any) -> dict[str, Any]:
    """A few connections: T-bar k at (10k, 20k, 30k) of body R + k, PSD right of it on body R + k + 1."""
    k = np.arange(rows)
    made: dict[str, Any] = {"id": k + 5, "pre_pt_root_id": R + k, "post_pt_root_id": R + k + 1}
    for axis, factor in (("x", 10), ("y", 20), ("z", 30)):
        made |= {f"pre_pt_position_{axis}": factor * k, f"post_pt_position_{axis}": factor * k + (axis == "x")}
    return {**made, **changes}


def types(**changes: Any) -> dict[str, Any]:
    """Three rows of one body, one of another, one on nobody."""
    made = {
        "id": [4, 2, 3, 1, 5],
        "pt_root_id": pa.array([R, R, R, R + 1, 0], pa.int64()),
        "cell_type": ["c", "a", "c", "d", "e"],
        "volume": [1.0, 5.0, 5.0, 2.0, 9.0],
        **{f"pt_position_{axis}": [k * 10 for k in range(5)] for axis in "xyz"},
    }
    return {**made, **changes}
