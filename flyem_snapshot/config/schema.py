"""The JSON Schema of the configuration, made from the models alone: the contract that editors use, too."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.protocols import Validator
from jsonschema.validators import extend
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from flyem_snapshot.config.model import Section

UNSET: tuple[Any, ...] = ("", None)


class _Generator(GenerateJsonSchema):
    """pydantic's schema without titles, and with the ways in which YAML says "not set": '' and null."""

    def sort(self, value: JsonSchemaValue, parent_key: str | None = None) -> JsonSchemaValue:  # noqa: ARG002
        """Keep the order of the models: it is the order in which people read."""
        return value

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002
        """The key says it."""
        return False

    def model_schema(self, schema: core_schema.ModelSchema) -> JsonSchemaValue:
        """A section; one without required settings may be empty, that is, null."""
        made = super().model_schema(schema)
        made.pop("title", None)
        return made if made.get("required") else _also_null(made)

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        """A setting with a default; a list or mapping may be empty, that is, null."""
        made = super().default_schema(schema)
        return _also_null(made) if isinstance(schema.get("default"), Mapping | tuple) else made

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        """A setting that may be unset: null or empty text, as existing files have it."""
        inner = self.generate_inner(schema["schema"])
        if "enum" in inner:
            return {"enum": [*inner["enum"], *UNSET]}
        if inner.keys() <= {"type", "format"} and inner["type"] == "string":
            return {"type": ["string", "null"]}
        return {"anyOf": [inner, {"enum": list(UNSET)}]}


def _also_null(schema: JsonSchemaValue) -> JsonSchemaValue:
    if "anyOf" in schema:
        return {**schema, "anyOf": [*schema["anyOf"], {"type": "null"}]}
    return {**schema, "type": [schema["type"], "null"]}


def json_schema(model: type[Section], title: str = "flyem-snapshot configuration") -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of a model of settings, with the keys of the file."""
    made = model.model_json_schema(by_alias=True, schema_generator=_Generator)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": title, **made}


def schema_text(model: type[Section], title: str = "flyem-snapshot configuration") -> str:
    """The JSON Schema as the text of a file."""
    return json.dumps(json_schema(model, title), indent=2, ensure_ascii=False) + "\n"


def validator(schema: dict[str, Any]) -> Validator:
    """A validator that knows YAML: `1.0` is no whole number, `.nan` is no number, and `true` is neither."""
    checker = Draft202012Validator.TYPE_CHECKER.redefine_many({"integer": _is_integer, "number": _is_number})
    extended: type[Validator] = extend(Draft202012Validator, type_checker=checker)  # type: ignore[no-untyped-call]
    return extended(schema)


def _is_integer(_: Any, value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(_: Any, value: Any) -> bool:
    return _is_integer(_, value) or (isinstance(value, float) and math.isfinite(value))


def resolved(node: Mapping[str, Any], root: Mapping[str, Any]) -> Mapping[str, Any]:
    """The schema that a node stands for, its own description and default kept."""
    if "$ref" not in node:
        return node
    target = root["$defs"][node["$ref"].removeprefix("#/$defs/")]
    return {**target, **{key: value for key, value in node.items() if key != "$ref"}}


def node_at(root: Mapping[str, Any], path: Iterable[str | int]) -> Mapping[str, Any]:
    """The schema of the value at a path whose keys are all known or free, outside of alternatives."""
    node = root
    for key in path:
        properties = node.get("properties", {})
        below = "items" if isinstance(key, int) else "additionalProperties"
        node = resolved(properties[key] if key in properties else node[below], root)
    return node
