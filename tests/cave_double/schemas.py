"""The schema service and what the others know of schemas; definitions are those of emannotationschemas 5.26.3."""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
from jsonschema import Draft7Validator

from tests.cave_double.replies import Reply, Request, json_reply, plain

FILE = Path(__file__).resolve().parent.parent / "data" / "cave" / "schemas.json"

ARROW = {
    "bigint": pa.int64(),
    "integer": pa.int32(),
    "float": pa.float32(),
    "boolean": pa.bool_(),
    "text": pa.string(),
}

SEGMENTATION = ("_supervoxel_id", "_root_id")


@dataclass(frozen=True)
class Schema:
    """A schema type: its JSON-Schema `definition` and the types of its flattened `columns`, by name."""

    name: str
    definition: dict[str, Any]
    columns: dict[str, str]

    @functools.cached_property
    def _validator(self) -> Draft7Validator:
        return Draft7Validator(self.definition)

    def problems(self, annotation: dict[str, Any]) -> dict[str, list[str]]:
        """What is wrong with an annotation, by field; what the schema does not know is nothing wrong."""
        found: dict[str, list[str]] = {}
        for error in self._validator.iter_errors(annotation):
            field = str(error.path[0]) if error.path else error.message.split("'")[1]
            missing = error.validator == "required"
            found.setdefault(field, []).append("Missing data for required field." if missing else error.message)
        return found

    @property
    def points(self) -> list[str]:
        """The names of the points, without `_position`."""
        return [name.removesuffix("_position") for name, kind in self.columns.items() if kind == "point"]

    @property
    def bound(self) -> list[str]:
        """The points that are bound to a supervoxel."""
        return [point for point in self.points if f"{point}_root_id" in self.columns]

    @property
    def is_reference(self) -> bool:
        """Whether its rows are about the rows of another table."""
        return "target_id" in self.columns

    def arrow(self) -> pa.Schema:
        """The columns of a frozen table: positions split in x, y, z."""
        fields = []
        for name, kind in self.columns.items():
            if kind == "point":
                fields += [pa.field(f"{name}_{axis}", pa.int32()) for axis in "xyz"]
            else:
                fields.append(pa.field(name, ARROW[kind]))
        return pa.schema(fields)


@functools.cache
def schemas() -> dict[str, Schema]:
    """All schema types, in the service's order."""
    types = json.loads(FILE.read_text())["types"]
    return {name: Schema(name, entry["definition"], entry["columns"]) for name, entry in types.items()}


def schema_call(request: Request, rest: list[str]) -> Reply:
    """`/schema/api/v2/...`, which asks for no token."""
    known = schemas()
    match request.method, rest:
        case "GET", ["type"]:
            return json_reply(list(known))
        case "GET", ["type", name] if name in known:
            return json_reply(known[name].definition)
        case "POST", ["types"]:
            wanted = request.args.get("schema_names", "").split(",")
            if set(wanted) <= set(known):
                return json_reply({name: known[name].definition for name in wanted})
        case "GET", ["types_all"]:
            return json_reply({name: schema.definition for name, schema in known.items()})
    return plain("<!doctype html>\n<title>404 Not Found</title>\n<h1>Not Found</h1>\n", 404)
