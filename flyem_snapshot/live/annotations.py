"""Body annotations of DVID as the properties that Segments should have."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa

from flyem_snapshot.connectome.properties import neuprint_properties
from flyem_snapshot.connectome.status import as_status_category
from flyem_snapshot.connectome.weights import COMPARTMENT_INPUTS, COMPARTMENT_OUTPUTS
from flyem_snapshot.engine.session import Engine
from flyem_snapshot.inputs.annotations_settings import PREDICTION_COLUMNS
from flyem_snapshot.live.cypher import Point, Value
from flyem_snapshot.outputs.neuprint.neurotransmitters import neurotransmitter_property
from flyem_snapshot.outputs.neuprint.properties import INT_NAMES, POINT, check_names
from flyem_snapshot.outputs.neuprint.segment_properties import segment_properties
from flyem_snapshot.tables.bodies import frame_from_arrow

Bodies = np.ndarray[Any, np.dtype[np.int64]]

_COUNTED: Final = frozenset(
    {"bodyId", "roiInfo", "size", "upstreamPartners", "downstreamPartners"}
    | {*INT_NAMES, *COMPARTMENT_INPUTS, *COMPARTMENT_OUTPUTS}
)
_PREDICTED: Final = frozenset(
    {*map(neurotransmitter_property, PREDICTION_COLUMNS), "ntReference", "otherNt", "otherNtReference"}
)
_PROBABILITY: Final = re.compile(r"nt[A-Z]\w*Prob")
_NUMBER: Final = re.compile(r"[xyz]:([^,}]+)")


def is_predicted(name: str) -> bool:
    """Whether a property tells of neurotransmitters: these come from another source, and are never touched here."""
    return name in _PREDICTED or _PROBABILITY.fullmatch(name) is not None


def is_counted(name: str) -> bool:
    """Whether a property is an id or a count, which no annotation may change."""
    return name in _COUNTED


def annotation_frame(records: pa.Table) -> pd.DataFrame:
    """DVID's records (`body` int64, then one column a field) as the frame that `neuprint_properties` takes.

    DataError: a status that is none.
    """
    known = [name for name in records.column_names if name not in PREDICTION_COLUMNS]
    frame = frame_from_arrow(pa.table({name: _usual_type(records[name]) for name in known}))
    if "status" in frame:
        frame["status"] = as_status_category(frame["status"], file="the annotations in DVID")
    return frame


def _usual_type(values: pa.ChunkedArray) -> pa.ChunkedArray:
    """Text as everywhere in our frames."""
    return values.cast(pa.large_string()) if pa.types.is_string(values.type) else values


@dataclass(frozen=True)
class WantedProperty:
    """What one property should be: `content` has one entry for each body, null where it should not be there.

    `type` is its type as `Meta.neuronProperties` has it, '' if no body has it.
    """

    name: str
    type: str
    content: pa.Array

    def values(self, start: int, stop: int) -> list[Value | None]:
        """The values of some of the bodies."""
        return [None if item is None else _value(item, self.type) for item in self.content[start:stop].to_pylist()]


@dataclass(frozen=True)
class Wanted:
    """What the Segments should be like: the bodies, ascending, and their properties."""

    bodies: Bodies
    properties: tuple[WantedProperty, ...]

    @property
    def types(self) -> dict[str, str]:
        """The type of each property that some body has."""
        return {wanted.name: wanted.type for wanted in self.properties if wanted.type}


def property_frame(frame: pd.DataFrame, ignored: Collection[str]) -> pd.DataFrame:
    """The annotations named as in our own exports, with `bodyId`; fields that have become empty stay, as nulls."""
    named = neuprint_properties(frame, {}, keep_empty=True)
    kept = [name for name in map(str, named) if name == "bodyId" or not (name in ignored or is_predicted(name))]
    return named[kept]


def wanted_properties(engine: Engine, frame: pd.DataFrame, segments: Bodies) -> Wanted:
    """What Segments should be like, from the frame of `property_frame`; `segments` are the bodies that neuPrint has.

    Types follow from the values of these bodies, as in an export.  DataError: values that no property can hold.
    """
    check_names([str(name) for name in frame], {}, "the annotations in DVID")
    here = frame[np.isin(frame["bodyId"].to_numpy(np.int64), segments)].sort_values("bodyId", ignore_index=True)
    found = {made.name: made for made in segment_properties(engine, here)} if len(here) else {}
    bodies = here["bodyId"].to_numpy(np.int64)
    nothing = pa.nulls(len(bodies), pa.string())
    return Wanted(
        bodies,
        tuple(
            WantedProperty(name, found[name].type, found[name].content)
            if name in found
            else WantedProperty(name, "", nothing)
            for name in map(str, frame)
            if name != "bodyId"
        ),
    )


def _value(item: Any, kind: str) -> Value:
    if kind == POINT:
        x, y, z = (_number(text) for text in _NUMBER.findall(item))
        return Point(x, y, z)
    if kind.endswith("[]"):
        return _list(item.split(";"), kind)
    value: Value = item
    return value


def _list(texts: list[str], kind: str) -> Value:
    if kind in ("int[]", "long[]"):
        return [int(text) for text in texts]
    if kind == "float[]":
        return [float(text) for text in texts]
    if kind == "boolean[]":
        return [text == "true" for text in texts]
    return texts


def _number(text: str) -> int | float:
    bare = text.strip()
    return int(bare) if bare.lstrip("-").isdigit() else float(bare)
