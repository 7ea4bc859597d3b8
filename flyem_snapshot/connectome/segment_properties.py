"""Segment properties: what neuroglancer shows beside a body and lets one search by."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from flyem_snapshot.connectome.status import STATUS_ORDER

KIND = "neuroglancer_segment_properties"
_TEXTS = ("type", "instance")


def segment_properties(frame: pd.DataFrame, bodies: Sequence[int]) -> dict[str, Any]:
    """The content of a `segment_properties/info` file: one entry for each of `bodies`, in their order.

    `frame` is that of `BodyAnnotations`.  The label, which is shown beside the id, is the instance, else the type;
    type and instance are searchable texts; the status is a tag (`#Roughly_traced`, since a tag has no blanks).  What
    is missing is an empty text, or no tag; a column that the annotations lack is left out.
    """
    rows = frame.reindex(pd.Index(np.array(bodies, np.int64), name="body"))
    texts = {name: _texts(rows[name]) for name in _TEXTS if name in rows}
    properties: list[dict[str, Any]] = []
    if texts:
        labels = [next(filter(None, values), "") for values in zip(*reversed(texts.values()), strict=True)]
        properties.append({"id": "label", "type": "label", "values": labels})
    properties += [{"id": name, "type": "string", "values": values} for name, values in texts.items()]
    if "status" in rows:
        properties.append(_tags(_texts(rows["status"])))
    return {"@type": KIND, "inline": {"ids": [str(body) for body in bodies], "properties": properties}}


def properties_text(content: dict[str, Any]) -> str:
    """The text of the file; on one line, since there may be hundreds of thousands of bodies."""
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")) + "\n"


def _texts(values: pd.Series) -> list[str]:
    return ["" if value is None or value is pd.NA or value != value else str(value) for value in values.astype(object)]  # noqa: PLR0124 - only a NaN differs from itself


def _tags(statuses: list[str]) -> dict[str, Any]:
    """One tag for each status that occurs, worst first."""
    used = [status for status in STATUS_ORDER if status and status in set(statuses)]
    number = {status: index for index, status in enumerate(used)}
    return {
        "id": "status",
        "type": "tags",
        "tags": ["_".join(status.split()) for status in used],
        "tag_descriptions": used,
        "values": [[number[status]] if status else [] for status in statuses],
    }
