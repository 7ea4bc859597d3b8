"""Schemas and values in words, as error messages and the settings reference use them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

from flyem_snapshot.config.schema import UNSET, resolved

Node = Mapping[str, Any]
MAX_SHOWN = 60
_PLURALS = (("number", "numbers"), ("section of", "sections of"), ("list of", "lists of"), ("value", "values"))

_SCALARS = {"string", "integer", "number", "boolean"}
_TYPES = {"boolean": "true or false", "string": "text", "null": "nothing"}


def branches(node: Node, root: Node) -> list[Node]:
    """The alternatives of a schema, those aside that mean "not set"."""
    node = resolved(node, root)
    if "anyOf" not in node:
        return [node]
    kept = [resolved(entry, root) for entry in node["anyOf"] if entry.get("type") != "null" and "enum" not in entry]
    return [branch for entry in kept for branch in branches(entry, root)]


def type_of(node: Node) -> str:
    """The JSON type of a schema that is no alternative, `null` aside."""
    types = node.get("type", "")
    return types if isinstance(types, str) else next(name for name in types if name != "null")


def expected(node: Node, root: Node, *, short: bool = False) -> str:
    """What a value must be: `a whole number of at least 1`.  The short form leaves out the article and the bounds."""
    described: list[str] = []
    if {type_of(branch) for branch in branches(node, root)} == _SCALARS:
        return "single value" if short else "a single value"
    for branch in branches(node, root):
        words = _expected_one(branch, root)
        if short:
            words = words.removeprefix("a ").split(" of at ", maxsplit=1)[0].split(" between ", maxsplit=1)[0]
        if words not in described:
            described.append(words)
    return described[0] if len(described) == 1 else f"{', '.join(described[:-1])} or {described[-1]}"


def _expected_one(node: Node, root: Node) -> str:
    if "enum" in node:
        return f"one of {', '.join(shown(value) for value in node['enum'] if value not in UNSET)}"
    kind = type_of(node)
    if kind in {"integer", "number"}:
        return f"a {'whole number' if kind == 'integer' else 'number'}{_bounds(node)}"
    if kind == "array":
        items = expected(node["items"], root, short=True)
        return "a list of names" if items == "text" else f"a list of {plural(items)}"
    if kind == "object":
        entries = node.get("additionalProperties", False)
        if "properties" in node or not isinstance(entries, Mapping):
            return "a section of settings"
        return f"a mapping of names to {plural(expected(entries, root, short=True))}"
    return _TYPES[kind]


def _bounds(node: Node) -> str:
    low, high = node.get("minimum"), node.get("maximum")
    if low is not None and high is not None:
        return f" between {low} and {high}"
    if low is not None:
        return f" of at least {low}"
    return f" of at most {high}" if high is not None else ""


def plural(words: str) -> str:
    """The plural of a short description: `whole number` -> `whole numbers`."""
    for one, many in _PLURALS:
        words = words.replace(one, many)
    return words


def shown(value: Any, text: str = "") -> str:
    """A value as a message shows it; `text` is how it is written in the file, where that is known."""
    match value:
        case str():
            words = f"'{value if len(value) <= MAX_SHOWN else f'{value[:MAX_SHOWN]}...'}'"
        case None:
            words = "nothing"
        case bool():
            words = text or str(value).lower()
        case date():
            words = f"the date {text or value.isoformat()}"
        case Mapping():
            words = "a mapping" if value else "an empty mapping"
        case list() | tuple():
            words = "a list" if value else "an empty list"
        case _:
            words = text or str(value)
    return words
