"""Settings of a CAVE datastack as the source of a snapshot, over the network or from files."""

from __future__ import annotations

import datetime as dt
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

from flyem_snapshot.config.model import Section, setting
from flyem_snapshot.connectome.status import STATUS_ORDER
from flyem_snapshot.errors import Problem
from flyem_snapshot.inputs.cave.presets import PRESETS, Preset

DEFAULT_SERVER = "https://global.daf-apis.com"
DEFAULT_SYNAPSES = "synapses"
_ENDS = ("x", "y", "z", "body", "sv", "conf")
_OF_POINTS = frozenset({"id", "tbar", "point_id", "x", "y", "z", "kind", "conf", "body", "sv", "roi_combo"}) | {
    f"{side}_{end}" for side in ("pre", "post") for end in _ENDS
}
"""What the columns of points and connections are called, in lower case: no further column can be."""

_OF_BODIES = frozenset({"body", "bodyid", "body_id"})
_THREE = "must be three numbers above 0: nanometers along x, y and z"


class StaticTable(Section):
    """A table of a datastack that lies in a file."""

    file: Path = setting(input_file=True, doc="The table: Feather, Parquet, CSV, or CSV that was compressed with gzip.")
    columns: Mapping[str, str] = setting(
        {},
        examples=({"pre_pt_root_id": "pre_root_id"},),
        doc="""Columns that have other names in the file than in CAVE, {name in CAVE: name in the file}. They are added
        to those of the preset.""",
    )
    resolution: tuple[float, ...] | None = setting(
        None,
        examples=([4, 4, 40],),
        doc="Nanometers for one unit of its positions, x, y and z. If not set: that of the preset.",
    )
    reference_table: str | None = setting(
        None, doc="The table whose rows it speaks of: its column target_id holds their ids."
    )
    fill_down: tuple[str, ...] = setting(
        (),
        doc="""Columns, by their name in CAVE, in which an empty cell stands for the value above it. They are added to
        those of the preset.""",
    )

    def problems(self) -> Iterator[Problem]:
        """A resolution is three numbers."""
        yield from _three(self.resolution, "resolution")


class StaticSettings(Section):
    """Files with the tables of a datastack, such as a published dump: the same input without a network."""

    preset: Literal["microns", "flywire", "codex"] | None = setting(
        None,
        doc="""What the files look like. microns: the column names of CAVE, positions in voxels of 4 x 4 x 40 nm.
        flywire: those of the synapses that FlyWire published on Zenodo, positions in nm. codex: those of the downloads
        of Codex, positions in nm; a connection has one position there, which both its points get.""",
    )
    tables: Mapping[str, StaticTable] = setting(
        {},
        examples=({"synapses": {"file": "flywire_synapses_783.feather"}},),
        doc="The tables by the names under which the other settings know them.",
    )

    @property
    def layout(self) -> Preset:
        """What is known of the files by their preset."""
        return PRESETS[self.preset or "cave"]


class SynapseColumns(Section):
    """Names of the columns of the synapse table, where they are not those of CAVE's usual schemas."""

    id: str = setting("id", doc="The id of the annotation.")
    pre_position: str = setting("pre_pt_position", doc="The place of the T-bar: what stands before _x, _y and _z.")
    post_position: str = setting("post_pt_position", doc="The place of the PSD: what stands before _x, _y and _z.")
    pre_body: str = setting("pre_pt_root_id", doc="The body of the T-bar.")
    post_body: str = setting("post_pt_root_id", doc="The body of the PSD.")
    pre_supervoxel: str = setting("pre_pt_supervoxel_id", doc="The supervoxel of the T-bar; the table may lack it.")
    post_supervoxel: str = setting("post_pt_supervoxel_id", doc="The supervoxel of the PSD; the table may lack it.")


class Confidence(Section):
    """How the score of a connection becomes the confidence of its two points. Without a column it is 1 everywhere."""

    column: str | None = setting(None, examples=("cleft_score",), doc="Column of the synapse table that is a score.")
    zero: float = setting(0.0, doc="The score that becomes confidence 0, as do scores beyond it.")
    one: float = setting(1.0, examples=(255,), doc="The score that becomes confidence 1, as do scores beyond it.")
    at_least: float | None = setting(
        None, examples=(50,), doc="Leave out connections with a lower score than this, or with none."
    )

    def problems(self) -> Iterator[Problem]:
        """A line needs two points."""
        if self.zero == self.one:
            yield Problem(("one",), f"is the same score as 'zero': {self.one}")
        if self.at_least is not None and self.column is None:
            yield Problem(("at-least",), "needs a score", "name its column: 'column: cleft_score'")


class StatusMap(Section):
    """Which tracing status a body has that stands in a table of proofread bodies."""

    column: str | None = setting(None, examples=("status_axon",), doc="Column of the table that says it.")
    values: Mapping[str, str] = setting(
        {},
        examples=({"extended": "Traced", "clean": "Roughly traced"},),
        doc="The status for each value of the column, {value: status}. Other values give no status, and are counted.",
    )
    present: str | None = setting(
        None, examples=("Roughly traced",), doc="The status of every body in the table, if no column says it."
    )

    def problems(self) -> Iterator[Problem]:
        """A status is either mapped or the same for all."""
        if (self.column is None) is (self.present is None):
            yield Problem(("column",), "give either a column and its values, or 'present'")
        elif (self.column is None) is bool(self.values):
            words = "belong to a column" if self.values else "are required with a column"
            yield Problem(("values",), words, "write {value: status}, or 'present' without a column")
        given = {("present",): self.present} if self.present else {("values", v): s for v, s in self.values.items()}
        for path, status in given.items():
            if status not in STATUS_ORDER:
                hint = f"write one of: {', '.join(label for label in STATUS_ORDER if label)}"
                yield Problem(path, f"'{status}' is no status", hint)


class CaveAnnotations(Section):
    """A table that says something of bodies."""

    table: str = setting(min_length=1, doc="Its name. A table that refers to another gets the bodies of that one.")
    columns: Mapping[str, str] = setting(
        {},
        examples=({"cell_type": "type"},),
        doc="Columns that become annotations, {column: annotation}.",
    )
    position: str | None = setting(
        None,
        examples=("position",),
        doc="The annotation that takes the position of the point, [x, y, z] in voxels of the snapshot.",
    )
    body_column: str = setting("pt_root_id", doc="Column that holds the body.")
    position_column: str = setting("pt_position", doc="The place of the point: what stands before _x, _y and _z.")
    status: StatusMap | None = setting(None, doc="How the tracing status of the bodies follows from this table.")
    several: Literal["error", "first", "concat", "max"] = setting(
        "error",
        doc="""What to do with several rows of one body. error: stop. first: take the one with the smallest id. concat:
        join the different values with '; ', in the order of ids. max: take the row with the greatest value of
        max-column. How many bodies had several rows is counted.""",
    )
    max_column: str | None = setting(
        None, doc="Column that decides which row is taken. If not set: the best status, if the table gives one."
    )

    def problems(self) -> Iterator[Problem]:
        """The greatest of something is taken, and something is taken."""
        if self.several == "max" and self.max_column is None and self.status is None:
            yield Problem(("max-column",), "is required with 'several: max'", "name a column of numbers")
        if not self.columns and self.position is None and self.status is None:
            yield Problem(("columns",), "nothing is taken from this table", "name columns, a position or a status")

    @property
    def made(self) -> list[str]:
        """The annotations that it makes, the status aside."""
        return [*self.columns.values(), *([] if self.position is None else [self.position])]


class Soma(Section):
    """Nuclei, which tell where the soma of a body is."""

    table: str | None = setting(None, doc="Table of nuclei. If not set: the soma table of the datastack's record.")
    annotation: str = setting(
        "soma_position", doc="The annotation that takes the position of the nucleus if the body has exactly one."
    )


class RoiSource(Section):
    """Where the names of ROIs of connections stand."""

    table: str | None = setting(
        None, doc="Table that refers to the synapse table. If not set: the synapse table itself has the column."
    )
    column: str = setting("neuropil", doc="Column with the name of the ROI.")


class Transmitters(Section):
    """Where predicted neurotransmitters of connections stand."""

    table: str | None = setting(
        None, doc="Table that refers to the synapse table. If not set: the synapse table itself has the columns."
    )
    columns: Mapping[str, str] = setting(
        {name: name for name in ("gaba", "ach", "glut", "oct", "ser", "da")},
        doc="""Columns of probabilities, {column: transmitter}. inputs.neurotransmitters.translate-names is applied to
        the transmitters.""",
    )
    valid_column: str | None = setting(
        None, examples=("valid_nt",), doc="Column that is true where the prediction counts. If not set, all do."
    )

    def problems(self) -> Iterator[Problem]:
        """Each transmitter has one column."""
        if not self.columns:
            yield Problem(("columns",), "no column is named", "write {column: transmitter}")
        for twice in _twice(self.columns.values()):
            hint = "give each column a transmitter of its own"
            yield Problem(("columns",), f"two columns are probabilities of '{twice}'", hint)


class CaveSettings(Section):
    """A CAVE datastack, from which synapses and annotations are taken at one materialization."""

    datastack: str | None = setting(
        None, examples=("minnie65_public",), doc="Name of the datastack. If neither it nor static is set, none is used."
    )
    server_address: str = setting(
        DEFAULT_SERVER, affects_result=False, doc="Address of the global services, which know the datastack."
    )
    auth_token_file: Path | None = setting(
        None,
        directory=True,
        affects_result=False,
        doc="JSON file with the token. If not set: the files in ~/.cloudvolume/secrets that other programs use, too.",
    )
    auth_token_key: str = setting("token", affects_result=False, doc="Key of the token in that file.")
    timeout: float = setting(
        300.0,
        gt=0,
        affects_result=False,
        doc="How many seconds a server may be silent before the request is made again.",
    )
    parallel_requests: int = setting(
        2, ge=1, le=8, affects_result=False, doc="How many parts of a table are asked for at the same time."
    )
    version: int | str | None = setting(
        None,
        examples=(1300, "latest", "2025-01-31T00:00:00Z"),
        doc="""The materialization: its number; latest, the newest; or a time, for the newest of that time or before.
        The number that this stands for is written to final-config.yaml.""",
    )
    static: StaticSettings = StaticSettings()
    synapse_table: str | None = setting(
        None,
        doc="""The table of synapses. If not set: the one in the record of the datastack, or with static files the one
        called synapses.""",
    )
    synapse_columns: SynapseColumns = SynapseColumns()
    extra_columns: tuple[str, ...] = setting(
        (), examples=(["size"],), doc="Further columns of the synapse table that points keep."
    )
    confidence: Confidence = Confidence()
    keep_invalid: bool = setting(
        False, doc="Use also rows that a table marks as not valid, such as connections of a body with itself."
    )
    merge_presyn: Literal["none", "exact"] | float = setting(
        "none",
        doc="""CAVE has no T-bars, only connections. none: each connection has a T-bar of its own. exact: connections
        that begin at the same place and in the same supervoxel share one. A number: connections of a body that begin
        within so many nanometers share one, as do those of a chain of such.""",
    )
    voxel_size: tuple[float, ...] | None = setting(
        None,
        examples=([8, 8, 40],),
        doc="""Nanometers of a voxel of the snapshot, x, y and z. A point gets the voxel in which the lower corner of
        its own voxel lies. If not set: the resolution of the synapse table.""",
    )
    annotations: tuple[CaveAnnotations, ...] = setting(
        (),
        doc="Tables that say something of bodies; they make the body annotations of the snapshot.",
        examples=([{"table": "cell_types", "columns": {"cell_type": "type"}, "several": "first"}],),
    )
    soma: Soma | None = setting(None, doc="Positions of somata from a table of nuclei.")
    rois: Mapping[str, RoiSource] = setting(
        {},
        examples=({"primary": {"table": "neuropils", "column": "neuropil"}},),
        doc="""ROI sets whose names stand in tables, {roi-set: where}. Each must be one of inputs.rois.roi-sets, with
        'source: point-table'.""",
    )
    transmitters: Transmitters | None = setting(None, doc="Predicted neurotransmitters of the connections.")

    @property
    def enabled(self) -> bool:
        """Whether a datastack is to be read, from a server or from files."""
        return self.datastack is not None or bool(self.static.tables)

    @property
    def annotations_given(self) -> bool:
        """Whether the datastack annotates bodies."""
        return self.enabled and (bool(self.annotations) or self.soma is not None)

    @property
    def gives_transmitters(self) -> bool:
        """Whether the datastack predicts neurotransmitters."""
        return self.enabled and self.transmitters is not None

    @property
    def radius(self) -> float | None:
        """The distance within which T-bars are merged, in nanometers; None if it is not by distance."""
        return None if isinstance(self.merge_presyn, str) else self.merge_presyn

    def problems(self) -> Iterator[Problem]:
        """One source, with a version; numbers that make sense; annotations that do not clash."""
        yield from _three(self.voxel_size, "voxel-size")
        if self.radius is not None and not 0 < self.radius < math.inf:
            yield Problem(("merge-presyn",), "must be none, exact, or a distance above 0")
        if self.datastack is not None and self.static.tables:
            yield Problem(("static", "tables"), "a datastack is read from its server or from files, not both")
        if self.datastack is not None:
            yield from self._version_problems()
        elif self.static.tables:
            yield from self._static_problems()
        yield from self._clashes()

    def _version_problems(self) -> Iterator[Problem]:
        if self.version is None:
            yield Problem(("version",), "is required, but not set", "write the number of a materialization, or latest")
        elif isinstance(self.version, int) and self.version < 1:
            yield Problem(("version",), f"is no version: {self.version}", "the first materialization has the number 1")
        elif isinstance(self.version, str) and self.version != "latest":
            try:
                moment = dt.datetime.fromisoformat(self.version)
            except ValueError:
                hint = "write a number, latest, or a time such as 2025-01-31T00:00:00Z"
                yield Problem(("version",), f"is no version: '{self.version}'", hint)
            else:
                if moment.tzinfo is None:
                    yield Problem(("version",), "is a time without a zone", f"write {self.version}Z if it is UTC")

    def _static_problems(self) -> Iterator[Problem]:
        known = self.static.tables
        if self.soma is not None and self.soma.table is None:
            yield Problem(("soma", "table"), "is required with static files", "name the table of nuclei")
        for name, table in known.items():
            if table.reference_table is not None and table.reference_table not in known:
                path = ("static", "tables", name, "reference-table")
                yield Problem(path, f"there is no table '{table.reference_table}'", f"there are: {', '.join(known)}")
        for name, table in known.items():
            if table.resolution is None and self.static.layout.resolution is None:
                yield Problem(("static", "tables", name, "resolution"), "is required without a preset")

    def _clashes(self) -> Iterator[Problem]:
        """SQL does not tell upper from lower case, so a name in another spelling is the same."""
        seen = {"status", *_OF_BODIES}
        for number, entry in enumerate(self.annotations):
            for name in entry.made:
                if name.lower() in seen:
                    message = _taken(name) or f"two tables give '{name}'"
                    yield Problem(("annotations", number, "columns"), message, "choose another name for one of them")
                seen.add(name.lower())
        if self.soma is not None and self.soma.annotation.lower() in seen:
            message = _taken(self.soma.annotation) or f"'{self.soma.annotation}' is given by a table, too"
            yield Problem(("soma", "annotation"), message, "choose another name")
        yield from self._point_clashes()

    def _point_clashes(self) -> Iterator[Problem]:
        for name in self.rois:
            if name.lower() in _OF_POINTS:
                yield Problem(("rois", name), "has another meaning for points", "choose another name for the roi-set")
        seen = {name.lower() for name in self.rois}
        for number, name in enumerate(self.extra_columns):
            if name.lower() in _OF_POINTS | seen:
                known = name.lower() in _OF_POINTS
                message = f"'{name}' has another meaning for points" if known else f"'{name}' is there twice"
                yield Problem(("extra-columns", number), message, "remove it, or give the column another name")
            seen.add(name.lower())


def _taken(name: str) -> str:
    """What is wrong with a name that is no annotation; "" if nothing is."""
    if name.lower() == "status":
        return "is given by 'status'"
    return f"'{name}' is the id of the body, not an annotation" if name.lower() in _OF_BODIES else ""


def _twice(names: Iterable[str]) -> list[str]:
    """The names that differ from an earlier one in upper and lower case at most."""
    seen = Counter(name.lower() for name in names)
    return [name for name, number in seen.items() if number > 1]


def _three(values: Sequence[float] | None, name: str) -> Iterator[Problem]:
    if values is not None and (len(values) != 3 or not all(math.isfinite(v) and v > 0 for v in values)):
        yield Problem((name,), _THREE)
