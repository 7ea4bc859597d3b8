"""Answers to queries: Arrow tables whose ids are exact, with what the service said about them."""

from __future__ import annotations

import io
import json
import re
from typing import TYPE_CHECKING, Any, Final, Literal

import pyarrow as pa
import pyarrow.compute as pc

from flyem_snapshot.cave.encoding import ID_NAME
from flyem_snapshot.cave.http import Incomplete
from flyem_snapshot.cave.refusals import understood

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd
    import requests

Format = Literal["arrow", "pandas"]

_END: Final = b"\xff\xff\xff\xff\x00\x00\x00\x00"
_NOTICES: Final = re.compile(r",\s*(?=Table Owner Notice on |\d{3} - )")
_LIMITED: Final = re.compile(r'\d{3} - "?Limited query to (\d+) rows"?(?:,\s*|$)')
"""The notice of the service itself, with no quote at its end; owners of tables may write of limits as they like."""


def arrow_of(response: requests.Response) -> pa.Table:
    """The rows of an answer, one Arrow IPC stream.

    Its metadata: `dataframe_resolution` (nanometres of a unit of positions, as text), `notices` (JSON list of texts)
    and `limited` (`true` if the service said that it gives no more rows than these, so that it may have left some out).
    Incomplete if it is no whole stream, or if ids came as floats.
    """
    try:
        with pa.ipc.open_stream(io.BytesIO(response.content)) as reader:
            batches = list(reader)
            table = pa.Table.from_batches(batches, reader.schema)
    except (pa.ArrowInvalid, OSError) as error:
        shown = understood(response.status_code, response.content[:4096]).words if b"<" in response.content[:64] else ""
        raise Incomplete(f"it is no whole Arrow stream: {(shown or str(error))[:120]}") from None
    # Cut off between two messages, a stream reads as a shorter one; there is one batch, even where there is no row.
    if not batches and not response.content.endswith(_END):
        raise Incomplete("the Arrow stream breaks off before its rows")
    notices, limited = _heard(response.headers.get("Warning", ""), len(table))
    return _exact_ids(table).replace_schema_metadata(
        {
            "dataframe_resolution": response.headers.get("dataframe_resolution", ""),
            "notices": json.dumps(notices),
            "limited": str(limited).lower(),
        }
    )


def split_notices(header: str) -> list[str]:
    """The notices of a Warning header, in which they are joined by commas that they may have themselves."""
    return [notice.strip() for notice in _NOTICES.split(header) if notice.strip()]


def _heard(header: str, count: int) -> tuple[list[str], bool]:
    """The notices of a Warning header, and whether one says that the service gives no more than so many rows."""
    notices: list[str] = []
    limited = False
    for notice in split_notices(header):
        match = _LIMITED.match(notice)
        limited = limited or (match is not None and int(match[1]) == count)
        if rest := notice[match.end() :] if match else notice:
            notices.append(rest)
    return notices, limited


def notices_of(table: pa.Table) -> list[str]:
    """What the service said about the rows."""
    return [str(notice) for notice in json.loads((table.schema.metadata or {}).get(b"notices", b"[]"))]


def is_limited(table: pa.Table) -> bool:
    """Whether the service said that it may have left rows out."""
    return bool((table.schema.metadata or {}).get(b"limited") == b"true")


def without(table: pa.Table, excluded: Mapping[str, Any]) -> pa.Table:
    """The rows whose value in a column is none of the excluded ones, for each column; nulls stay."""
    for name, values in excluded.items():
        column = table[name]
        listed = pa.array(values, column.type) if isinstance(values, list) else pa.array([values], column.type)
        table = table.filter(pc.invert(pc.is_in(column, value_set=listed, skip_nulls=True)))
    return table


def only_asked(table: pa.Table, asked: list[str]) -> pa.Table:
    """The table without supervoxels that nobody asked for: the service adds them to roots."""
    extra = {name for name in table.column_names if name.endswith("_supervoxel_id") and name not in asked}
    return table.drop_columns(sorted(extra))


def as_format(table: pa.Table, form: Format) -> pa.Table | pd.DataFrame:
    """The table itself, or a DataFrame in which integers that may be missing stay integers (`Int64`, ...)."""
    if form == "arrow":
        return table
    if form != "pandas":
        raise ValueError(f"format is 'arrow' or 'pandas', not {form!r}")
    import pandas as pd

    kinds = {
        pa.bool_(): pd.BooleanDtype(),
        pa.int8(): pd.Int8Dtype(),
        pa.int16(): pd.Int16Dtype(),
        pa.int32(): pd.Int32Dtype(),
        pa.int64(): pd.Int64Dtype(),
        pa.uint64(): pd.UInt64Dtype(),
        pa.float32(): pd.Float32Dtype(),
        pa.float64(): pd.Float64Dtype(),
        pa.string(): pd.StringDtype(),
        pa.large_string(): pd.StringDtype(),
    }
    frame: pd.DataFrame = table.to_pandas(types_mapper=kinds.get)
    frame.attrs |= {
        "dataframe_resolution": (table.schema.metadata or {}).get(b"dataframe_resolution", b"").decode(),
        "notices": notices_of(table),
    }
    return frame


def _exact_ids(table: pa.Table) -> pa.Table:
    """The table with ids as int64; Incomplete if they came as floats, which have lost their last digits."""
    for place, field in enumerate(table.schema):
        if not ID_NAME.search(field.name) or pa.types.is_integer(field.type):
            continue
        if table[field.name].null_count == len(table):
            table = table.set_column(place, field.name, pa.nulls(len(table), pa.int64()))
        elif pa.types.is_floating(field.type):
            raise Incomplete(f"the ids in '{field.name}' came as floats and have lost digits")
    return table
