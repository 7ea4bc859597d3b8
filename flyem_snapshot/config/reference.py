"""The settings reference of the documentation, written from the JSON Schema."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from flyem_snapshot.config.model import Section
from flyem_snapshot.config.schema import json_schema, resolved
from flyem_snapshot.config.words import Node, branches, expected
from flyem_snapshot.config.yamltext import yaml_text

PREFACE = """\
# Settings

Made from the code (`make docs`); do not edit. `flyem-snapshot -Y` prints the same as a configuration to start from.

`''` and `null` mean "not set", and so does leaving a setting out. Names of files and directories are relative to the
configuration file; they may begin with `~`, and contain environment variables (`$NAME`, `${NAME}`) and `{syndir}`.
"""


def settings_reference(model: type[Section], own_files: Mapping[str, type[Section]] | None = None) -> str:
    """All settings of a model in Markdown: a heading and a table for each section.

    `own_files` are the models of sections that have files of their own, by the heading under which they follow.
    """
    schema = json_schema(model)
    lines = [PREFACE, *_section(schema, schema, "")]
    for heading, other in (own_files or {}).items():
        root = json_schema(other)
        lines += [f"# {heading}\n", f"{_escaped(root['description'])}\n", *_section(root, root, "")]
    return "\n".join(lines).rstrip("\n") + "\n"


def _section(node: Node, root: Node, address: str) -> Iterator[str]:
    """The table of a section's own settings, then the sections within it."""
    rows, nested = [], []
    for key, entry in node.get("properties", {}).items():
        child = resolved(entry, root)
        inner = _inner(child, root, f"{address}.{key}".lstrip("."))
        nested += inner
        if "properties" not in child:
            rows.append(_row(key, child, root, required=key in node.get("required", ())))
    if address and (rows or node.get("description")):
        yield f"## {_escaped(address)}\n"
        yield f"{_escaped(node['description'])}\n"
    if rows:
        yield "| setting | value | default | meaning |\n|---|---|---|---|"
        yield "\n".join(rows) + "\n"
    if isinstance(node.get("additionalProperties"), Mapping):
        nested.append((f"{address}.<name>", resolved(node["additionalProperties"], root)))
    for place, inner_node in nested:
        yield from _section(inner_node, root, place)


def _inner(node: Node, root: Node, address: str) -> list[tuple[str, Node]]:
    """The sections that a setting holds, with their addresses."""
    if "properties" in node:
        return [(address, node)]
    branch = branches(node, root)[0]
    found: list[tuple[str, Node]] = []
    for keyword, suffix in (("items", "[]"), ("additionalProperties", ".<name>")):
        if isinstance(branch.get(keyword), Mapping) and "properties" in (inner := resolved(branch[keyword], root)):
            found.append((f"{address}{suffix}", inner))
    return found


def _row(key: str, node: Node, root: Node, *, required: bool) -> str:
    kind = expected(node, root).replace("a section of settings", "a mapping")
    default = "required" if required else _default(node.get("default"))
    return f"| `{key}` | {_escaped(kind)} | {default} | {_escaped(node['description'])} |"


def _default(value: Any) -> str:
    return "not set" if value is None else f"`{yaml_text(value, flow=True)}`"


def _escaped(text: str) -> str:
    """Text as one cell of a Markdown table."""
    return " ".join(text.split()).replace("<", "&lt;").replace("|", "\\|")
