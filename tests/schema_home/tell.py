"""Print what emannotationschemas knows, as JSON; run by the interpreter that has it (tests/schema_homes.py).

`schemas`: every schema type with its definition and the SQL types of its flattened columns.
`problems`: for each line of the input, `[schema type, annotation]`, the names of the fields that are wrong.
"""

from __future__ import annotations

import importlib.metadata
import json
import sys
import warnings

warnings.simplefilter("ignore")  # old packages, of which nothing will be mended

from emannotationschemas import get_schema, get_types, models  # noqa: E402
from marshmallow_jsonschema import JSONSchema  # noqa: E402

SHORT = {
    "BIGINT": "bigint",
    "INTEGER": "integer",
    "FLOAT": "float",
    "BOOLEAN": "boolean",
    "VARCHAR": "text",
    "geometry(POINTZ,-1)": "point",
}


def columns(name: str) -> dict[str, str]:
    """The kinds of the flattened columns of a schema type, by name."""
    about = "target_id" in get_schema(name)().fields
    model = models.make_flat_model(f"t_{name}", name, table_metadata={"reference_table": "target"} if about else None)
    return {column.name: SHORT[str(column.type)] for column in model.__table__.columns}


def schemas() -> dict[str, object]:
    """All schema types."""
    types = {name: {"columns": columns(name), "definition": JSONSchema().dump(get_schema(name)())}
             for name in get_types()}  # fmt: skip
    return {"version": importlib.metadata.version("emannotationschemas"), "types": types}


if __name__ == "__main__":
    match sys.argv[1]:
        case "schemas":
            print(json.dumps(schemas()))
        case "problems":
            for line in sys.stdin:
                name, annotation = json.loads(line)
                print(json.dumps(sorted(get_schema(name)().validate(annotation))))
