"""Which tables and columns of a datastack the settings name, so that a misspelt one is found before a long download."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from enum import Enum, auto

from flyem_snapshot.config.suggest import closest
from flyem_snapshot.errors import SettingError
from flyem_snapshot.inputs.cave.settings import CaveAnnotations, CaveSettings

_BODY = "pt_root_id"
Path = tuple[str | int, ...]


@dataclass(frozen=True)
class Wanted:
    """A name in the settings at `path`: that of a table (`column` None), or of a column of it.

    A `position` is three columns that end in _x, _y and _z, or one of lists.  An `optional` column need not be there
    if the table refers to another.
    """

    path: Path
    table: str
    column: str | None = None
    position: bool = False
    optional: bool = False

    def met(self, columns: Collection[str]) -> bool:
        """Whether a table with these columns has what is wanted."""
        if self.column is None or self.column in columns:
            return True
        if self.optional and "target_id" in columns:
            return True
        return self.position and all(f"{self.column}_{axis}" in columns for axis in "xyz")


def wanted(config: CaveSettings, synapses: str, somata: str) -> Iterator[Wanted]:
    """Everything that the settings name; `synapses` and `somata` are the tables where they name none."""
    synapses = config.synapse_table or synapses
    yield Wanted(("synapse-table",), synapses)
    names = config.synapse_columns
    for field in ("id", "pre_position", "post_position", "pre_body", "post_body"):
        path = ("synapse-columns", names.key_of(field))
        yield Wanted(path, synapses, getattr(names, field), position=field.endswith("position"))
    for number, column in enumerate(config.extra_columns):
        yield Wanted(("extra-columns", number), synapses, column)
    if config.confidence.column is not None:
        yield Wanted(("confidence", "column"), synapses, config.confidence.column)
    yield from _of_connections(config, synapses)
    for number, entry in enumerate(config.annotations):
        yield from _of_annotations(entry, ("annotations", number))
    if config.soma is not None:
        entry = CaveAnnotations(table=config.soma.table or somata, position=config.soma.annotation)
        yield from _of_annotations(entry, ("soma",))


def _of_connections(config: CaveSettings, synapses: str) -> Iterator[Wanted]:
    for name, source in config.rois.items():
        yield Wanted(("rois", name, "table"), source.table or synapses)
        if source.table is not None:
            yield Wanted(("rois", name, "table"), source.table, "target_id")
        yield Wanted(("rois", name, "column"), source.table or synapses, source.column)
    if (predicted := config.transmitters) is not None:
        yield Wanted(("transmitters", "table"), predicted.table or synapses)
        if predicted.table is not None:
            yield Wanted(("transmitters", "table"), predicted.table, "target_id")
        for column in (*predicted.columns, *([predicted.valid_column] if predicted.valid_column else [])):
            yield Wanted(("transmitters", "columns", column), predicted.table or synapses, column)


def _of_annotations(entry: CaveAnnotations, path: Path) -> Iterator[Wanted]:
    yield Wanted((*path, "table"), entry.table)
    yield Wanted((*path, "body-column"), entry.table, entry.body_column, optional=True)
    for column in entry.columns:
        yield Wanted((*path, "columns", column), entry.table, column)
    if entry.position is not None:
        yield Wanted((*path, "position-column"), entry.table, entry.position_column, position=True, optional=True)
    if entry.max_column is not None:
        yield Wanted((*path, "max-column"), entry.table, entry.max_column)
    if entry.status is not None and entry.status.column is not None:
        yield Wanted((*path, "status", "column"), entry.table, entry.status.column)


class Use(Enum):
    """What a column is read for: an id, a number such as a coordinate or a score, or whatever value it has."""

    ID = auto()
    NUMBER = auto()
    VALUE = auto()


def used_columns(config: CaveSettings, table: str, *, synapses: bool) -> dict[str, Use]:
    """The columns of a table of files that are read, by their names in CAVE, whether the table has them or not."""
    names, found = config.synapse_columns, {"valid": Use.VALUE}
    of_table = [one for one in wanted(config, table if synapses else "", "") if one.column is not None]
    # A table that refers to another gets its bodies and places.
    own = {table, *(name for name, entry in config.static.tables.items() if entry.reference_table == table)}
    for one in of_table:
        assert one.column is not None, "those without a column were passed over"
        if one.table in own:
            found |= {f"{one.column}_{axis}": Use.NUMBER for axis in "xyz"} if one.position else {}
            found[one.column] = Use.VALUE
    scores = [config.confidence.column, *(config.transmitters.columns if config.transmitters else ())]
    scores += [entry.max_column for entry in config.annotations]
    found |= {name: Use.NUMBER for name in scores if name in found}
    ids = ["id", "target_id"]
    ids += [entry.body_column for entry in config.annotations] + ([_BODY] if config.soma else [])
    if synapses:
        ids += [names.id, names.pre_body, names.post_body, names.pre_supervoxel, names.post_supervoxel]
    return found | dict.fromkeys(ids, Use.ID)


def missing(
    everything: Iterator[Wanted], tables: Collection[str], columns_of: Callable[[str], Collection[str]]
) -> Iterator[SettingError]:
    """An error for each table that is not among `tables`, and for each column that its table does not have."""
    known: dict[str, Collection[str]] = {}
    for one in everything:
        if one.table not in tables:
            if one.column is None:
                yield SettingError(one.path, f"there is no table '{one.table}'", hint=_hint(one.table, tables))
            continue
        if one.table not in known:
            known[one.table] = columns_of(one.table)
        if not one.met(known[one.table]):
            problem = f"table '{one.table}' has no column '{one.column}'"
            yield SettingError(one.path, problem, hint=_hint(one.column or "", known[one.table]))


def _hint(name: str, known: Collection[str]) -> str:
    similar = closest(name, list(known))
    return f"did you mean '{similar}'?" if similar else f"there are: {', '.join(sorted(known)) or 'none'}"
