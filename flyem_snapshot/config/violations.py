"""From violations of the JSON Schema to problems in our own words."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from datetime import date
from typing import Any

from jsonschema.exceptions import ValidationError

from flyem_snapshot.config.document import Document, KeyPath
from flyem_snapshot.config.schema import UNSET, node_at, validator
from flyem_snapshot.config.suggest import closest, setting_hint
from flyem_snapshot.config.words import Node, branches, expected, shown, type_of
from flyem_snapshot.errors import Problem

YES_AND_NO = {"yes": "true", "y": "true", "on": "true", "no": "false", "n": "false", "off": "false"}


def violations(document: Document, schema: dict[str, Any]) -> Iterator[Problem]:
    """Everything in a document that the schema does not allow, each with its path, without lines yet."""
    explain = _Explainer(document, schema)
    for error in validator(schema).iter_errors(document.content):
        yield from explain(error)


class _Explainer:
    """Words for the violations of one document."""

    def __init__(self, document: Document, schema: Node) -> None:
        self.document, self.schema = document, schema

    def __call__(self, error: ValidationError, base: KeyPath = ()) -> Iterator[Problem]:
        """The problems that one violation stands for; `base` is the path of the value that was validated."""
        path = (*base, *error.path)
        explain: dict[str, Callable[[ValidationError, KeyPath], Iterator[Problem]]] = {
            "additionalProperties": self._unknown,
            "required": self._missing,
            "anyOf": self._alternatives,
        }
        yield from explain.get(str(error.validator), self._mismatch)(error, path)

    def _unknown(self, error: ValidationError, path: KeyPath) -> Iterator[Problem]:
        known = _schema(error).get("properties", {})
        for key in _instance(error):
            if key not in known:
                yield Problem((*path, key), "unknown setting", setting_hint(key, known, self.schema))

    def _missing(self, error: ValidationError, path: KeyPath) -> Iterator[Problem]:
        # jsonschema reports each missing key by itself, and names it only in its sentence.
        for key in _schema(error)["required"]:
            if error.message.startswith(f"{key!r} "):
                yield Problem((*path, key), "is required, but missing", self._meaning(_schema(error), key))

    def _meaning(self, section: Node, key: str) -> str:
        """What a missing setting or section is for, in the first sentence of its description."""
        node = section["properties"][key]
        description = node.get("description") or self.schema["$defs"][node["$ref"].rpartition("/")[2]]["description"]
        return _first_sentence(description)

    def _alternatives(self, error: ValidationError, path: KeyPath) -> Iterator[Problem]:
        """The violations of that alternative which the author of the value had in mind, as far as its type tells."""
        tried: dict[int, list[ValidationError]] = {}
        for inner in error.context or ():
            tried.setdefault(int(inner.schema_path[0]), []).append(inner)
        # An alternative that wants another kind of value says nothing; one that fails within the value was meant.
        meant = [inner for inner in tried.values() if not any(_wants_other_kind(part) for part in inner)]
        places = [[tuple(part.path) for part in inner] for inner in meant]
        if not meant:
            yield from self._mismatch(error, path)
        elif len(meant) > 1 and all(place == places[0] for place in places):
            for parts in zip(*meant, strict=True):
                wanted = " or ".join(expected(_schema(part), self.schema) for part in parts)
                yield self._problem((*path, *parts[0].path), parts[0].instance, wanted, {"anyOf": []})
        else:
            for inner in min(meant, key=lambda parts: (len(parts), -max(len(part.path) for part in parts))):
                yield from self(inner, path)

    def _mismatch(self, error: ValidationError, path: KeyPath) -> Iterator[Problem]:
        schema = _schema(error)
        if error.validator == "minLength":
            yield Problem(path, "is required, but empty", _first_sentence(schema["description"]))
        elif error.validator == "pattern":
            examples = " or ".join(shown(example) for example in node_at(self.schema, path)["examples"])
            yield self._problem(path, error.instance, f"of the form {examples}", schema)
        elif error.instance is None and "required" in schema:
            yield Problem(path, "is empty, but needs settings", f"required are: {', '.join(schema['required'])}")
        else:
            yield self._problem(path, error.instance, expected(schema, self.schema), schema)

    def _problem(self, path: KeyPath, value: Any, wanted: str, schema: Node) -> Problem:
        text = self.document.text(path)
        return Problem(path, f"must be {wanted}, not {shown(value, text)}", self._hint(path, value, schema, text))

    def _hint(self, path: KeyPath, value: Any, schema: Node, text: str) -> str:
        """How a value of the wrong kind was probably meant."""
        options = branches(schema, self.schema)
        if len(options) != 1:
            return ""
        if "enum" in options[0]:
            similar = closest(str(value), [str(option) for option in options[0]["enum"] if option not in UNSET])
            return f"did you mean '{similar}'?" if similar else ""
        match type_of(options[0]), value:
            case "boolean", str() if text.lower() in YES_AND_NO:
                hint = f"write {YES_AND_NO[text.lower()]}"
            case "string", bool() | int() | float() | date():
                hint = f"put it in quotes: '{text}'"
            case "string", dict():
                hint = "put text that begins with { in quotes"
            case "integer", float() if value.is_integer():
                hint = f"write {int(value)}"
            case "integer" | "number", str() if _is_number(value):
                hint = f"write {value.strip()} without quotes"
            case "array", str():
                hint = f"write [{value}]"
            case "object", _ if path and isinstance(path[-1], str):
                hint = self._section_hint(path)
            case _:
                hint = ""
        return hint

    def _section_hint(self, path: KeyPath) -> str:
        """A value where a user-named section is expected may be a misspelt setting of the enclosing section."""
        similar = closest(str(path[-1]), node_at(self.schema, path[:-1]).get("properties", {}))
        return f"did you mean '{similar}'?" if similar and similar != path[-1] else ""


def _first_sentence(text: str) -> str:
    return text.partition(". ")[0].removesuffix(".")


def _schema(error: ValidationError) -> dict[str, Any]:
    """The part of the schema that was violated; ours has no boolean schemas, and jsonschema always sets it."""
    assert isinstance(error.schema, dict)
    return error.schema


def _instance(error: ValidationError) -> Any:
    """The value that violates the schema."""
    return error.instance


def _wants_other_kind(error: ValidationError) -> bool:
    return not error.path and error.validator in {"type", "enum"}


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False
