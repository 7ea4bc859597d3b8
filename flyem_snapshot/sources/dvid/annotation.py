"""Point annotations: points with a kind, tags and properties, and their table."""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from flyem_snapshot.errors import DataError
from flyem_snapshot.sources.dvid.http import Incomplete

if TYPE_CHECKING:
    from flyem_snapshot.sources.dvid.graph import Node

logger = logging.getLogger(__name__)

Point = tuple[int, int, int]

# A leading zero means a code, not a number.
_INTEGER: Final = re.compile(r"-?(0|[1-9][0-9]*)")
_FLOAT: Final = re.compile(r"-?((0|[1-9][0-9]*)(\.[0-9]*)?|\.[0-9]+)(e[+-]?[0-9]+)?|nan|-?inf", re.IGNORECASE)
_EXACT: Final = 1 << 53
"""Every integer up to here is exact as float64."""

_LIMIT: Final = 1 << 31
_OWN: Final = ("z", "y", "x", "kind", "tags")


@dataclass(frozen=True)
class PointAnnotation:
    """An annotated point: voxel, kind (such as `Note`), tags, properties (always text) and relations to other points.

    A relation is its kind (such as `PreSynTo`) and the voxel z, y, x that it points at.
    """

    zyx: Point
    kind: str = ""
    tags: tuple[str, ...] = ()
    props: Mapping[str, str] = field(default_factory=dict)
    rels: tuple[tuple[str, Point], ...] = ()


def all_elements(node: Node, instance: str) -> list[PointAnnotation]:
    """All points of an annotation instance, sorted by z, y, x.

    Fetched in one answer, which the server does not cut in pages: meant for somata and the like, not for synapses.
    """
    node.instance(instance, "annotation")
    path = node.path(instance, "all-elements")
    found: list[PointAnnotation] = []

    def read(blocks: Any) -> None:
        found[:] = _elements(blocks)

    node.client.json(path, check=read)
    # A total order, also where the server holds a point twice, as it should not.
    found.sort(key=lambda point: (point.zyx, point.kind, point.tags, sorted(point.props.items()), point.rels))
    twice = len(found) - len({point.zyx for point in found})
    if twice:
        logger.warning("%s: %s points lie on the voxel of another one", instance, f"{twice:,}")
    return found


def _elements(blocks: Any) -> Iterator[PointAnnotation]:
    """The elements of all blocks; a block may be null (M24), and so may anything of an element but its place."""
    if blocks is None:
        return
    if not isinstance(blocks, dict) or not all(isinstance(block, list | None) for block in blocks.values()):
        raise Incomplete("this is not an object of blocks with lists of elements")
    for block in blocks.values():
        for element in block or ():
            try:
                yield _element(element)
            except (AttributeError, KeyError, TypeError, ValueError) as error:
                raise Incomplete(f"this is not a point annotation: {str(element)[:200]}") from error


def _element(element: Any) -> PointAnnotation:
    return PointAnnotation(
        zyx=_point(element["Pos"]),
        kind=str(element.get("Kind") or ""),
        tags=tuple(str(tag) for tag in element.get("Tags") or ()),
        props={str(name): str(text) for name, text in (element.get("Prop") or {}).items() if text is not None},
        rels=tuple((str(relation["Rel"]), _point(relation["To"])) for relation in element.get("Rels") or ()),
    )


def _point(xyz: Any) -> Point:
    x, y, z = xyz
    if not all(type(place) is int and -_LIMIT <= place < _LIMIT for place in (x, y, z)):
        raise ValueError(xyz)
    return z, y, x


def annotation_columns(elements: Sequence[PointAnnotation], properties: Mapping[str, str] | None = None) -> pa.Table:
    """The points as a table: z, y, x (int64), kind (text), tags (lists of text), and a column for each property.

    `properties` maps names of properties to those of their columns; without it all of them are there, by their own
    names in their order, except those named like the columns above.  Names are case-sensitive; one that no point
    has is looked for in other case.  A property that none has, in any case, becomes a column of nulls.
    Values become numbers only if all of a column do, see `numbers_or_text`.
    """
    if properties is None:
        properties = _all_properties(elements)
    columns: dict[str, pa.Array] = {
        axis: pa.array([element.zyx[place] for element in elements], pa.int64()) for place, axis in enumerate("zyx")
    }
    columns["kind"] = pa.array([element.kind for element in elements], pa.string())
    columns["tags"] = pa.array([list(element.tags) for element in elements], pa.list_(pa.string()))
    counts = Counter(name for element in elements for name in element.props)
    for wanted, column in properties.items():
        if column in columns:
            raise DataError(f"property '{wanted}' cannot become the column '{column}': there is one of that name")
        name = _spelled(wanted, counts)
        columns[column] = numbers_or_text([element.props.get(name) for element in elements])
    return pa.table(columns)


def _all_properties(elements: Sequence[PointAnnotation]) -> dict[str, str]:
    names = sorted({name for element in elements for name in element.props})
    for name in set(names) & set(_OWN):
        logger.warning("property '%s' is left out: its column would be named like one of the point's own", name)
    return {name: name for name in names if name not in _OWN}


def _spelled(wanted: str, counts: Mapping[str, int]) -> str:
    """The property's name as the points spell it."""
    if wanted in counts or not counts:
        return wanted
    alike = sorted(name for name in counts if name.lower() == wanted.lower())
    if len(alike) > 1:
        raise DataError(f"property '{wanted}' could be {' or '.join(alike)}", hint="names are case-sensitive")
    if not alike:
        logger.warning("no point has the property '%s'; there are: %s", wanted, ", ".join(sorted(counts)))
    return alike[0] if alike else wanted


def numbers_or_text(texts: Sequence[str | None]) -> pa.Array:
    """Texts as an Arrow array: int64 (uint64 if it must), float64, or text as they are; empty texts are null.

    They are integers if all are integral numbers that 64 bits hold exactly, floats if all are numbers of which none
    is an integer too large for a float; one that is no number leaves all of them text (M5).  Digits with leading
    zeros are no number but a code.
    """
    texts = [text or None for text in texts]
    present = [text for text in texts if text is not None]
    if not present or not all(_FLOAT.fullmatch(text) for text in present):
        return pa.array(texts, pa.string())
    if all(_INTEGER.fullmatch(text) for text in present):
        return _integers(texts) or pa.array(texts, pa.string())
    if any(_INTEGER.fullmatch(text) and abs(int(text)) > _EXACT for text in present):
        return pa.array(texts, pa.string())
    numbers = [None if text is None else float(text) for text in texts]
    if all(number is None or (number.is_integer() and abs(number) <= _EXACT) for number in numbers):
        return pa.array([None if number is None else int(number) for number in numbers], pa.int64())
    return pa.array(numbers, pa.float64())


def _integers(texts: Sequence[str | None]) -> pa.Array | None:
    numbers = [None if text is None else int(text) for text in texts]
    for kind in (pa.int64(), pa.uint64()):
        try:
            return pa.array(numbers, kind)
        except (pa.ArrowInvalid, OverflowError):
            continue
    return None
