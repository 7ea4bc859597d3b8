"""The tables of bodies: the annotations as they were used, and how many bodies have each status."""

from __future__ import annotations

from flyem_snapshot.outputs.tables_settings import TablesSettings
from flyem_snapshot.plots.status_counts import draw_status_counts
from flyem_snapshot.stage import Context, Stage
from flyem_snapshot.tables.bodies import BodyAnnotations, write_feather


def export_tables(config: TablesSettings, ctx: Context, *, annotations: BodyAnnotations | None) -> None:
    """Write `tables/body-annotations-<tag>.feather` and `tables/body-status-counts-<tag>.csv`.

    The first has `body` (int64) and then the annotation columns, rows in the order of the source.  The second counts
    bodies by status, best first; bodies whose status is empty or unknown are not counted, and is drawn as
    `reports/{html,png}/body-status-counts-<tag>`.  Without annotations nothing is written.

        status,count
        Roughly traced,145
        Orphan,188
    """
    if annotations is None or not config.export_tables:
        return
    with ctx.out.create(f"tables/body-annotations-{ctx.tag}.feather", rows=len(annotations.frame)) as path:
        write_feather(annotations.frame, path)
    best_first = annotations.status.value_counts().sort_index(ascending=False)
    counts = {str(status): int(count) for status, count in best_first.items() if status != "" and count}
    lines = [f"{status},{count}" for status, count in counts.items()]
    ctx.out.write_text(f"tables/body-status-counts-{ctx.tag}.csv", "\n".join(["status,count", *lines]) + "\n")
    draw_status_counts(ctx.out, counts, ctx.tag)


STAGE = Stage(
    name="tables",
    room="outputs",
    config=TablesSettings,
    run=export_tables,
    version=2,
    enabled=lambda config: config.export_tables,
)
