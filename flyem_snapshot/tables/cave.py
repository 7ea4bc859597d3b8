"""What was taken from a CAVE datastack: its synapses, annotations and transmitters as ordinary tables in the cache."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flyem_snapshot.stage import Context


@dataclass(frozen=True)
class CaveTables:
    """The tables of a datastack in the form that the other input stages read; paths are relative to the output.

    `points`, Parquet, in the order of annotation ids, the T-bar of each before its PSD:

        point_id UBIGINT   2 * id of the annotation for the T-bar, 2 * id + 1 for the PSD
        x, y, z  INTEGER   voxels of the snapshot; several points may share a voxel
        kind     VARCHAR   PreSyn or PostSyn
        conf     FLOAT     NaN where the annotation has none
        body     BIGINT    0: in no body, or not looked up
        sv       BIGINT    if the table has supervoxels; 0 likewise
        further columns, and one VARCHAR for each roi-set that is taken from the datastack

    `partners`, Parquet, one row for each annotation: pre_id, post_id UBIGINT, x_pre ... z_post INTEGER.

    `annotations`, Feather, one row for each annotated body: body int64, then the columns that the settings name.
    `transmitters`, Parquet: point_id of each T-bar, nt_<name>_prob FLOAT.  Both None if the settings ask for none.

    `about` says what was read: datastack, version, time_stamp (UTC, ISO 8601; None for files) and, by name of the
    table, rows, schema and resolution; `counts` how often something happened that the snapshot cannot show, in words.
    """

    points: str
    partners: str
    annotations: str | None
    transmitters: str | None
    about: Mapping[str, Any]
    counts: Mapping[str, int]

    @property
    def version(self) -> str | None:
        """The materialization, as the database names it: `<datastack>:v<version>`; None for files."""
        datastack, version = self.about.get("datastack"), self.about.get("version")
        return None if version is None else f"{datastack}:v{version}"

    @property
    def voxel_size(self) -> tuple[float, ...]:
        """The voxels in which positions are counted, in nanometers, x, y and z."""
        return tuple(self.about["voxel-size"])

    @property
    def time_stamp(self) -> str | None:
        """The moment that the materialization is of (UTC, ISO 8601)."""
        return self.about.get("time_stamp")

    def record(self) -> dict[str, Any]:
        """What the cache must remember besides the files."""
        return asdict(self)

    @classmethod
    def reopen(cls, ctx: Context, record: dict[str, Any]) -> CaveTables:  # noqa: ARG003  every table is reopened so
        """The tables as they were recorded."""
        return cls(**record)
