"""Configuration files to start from, written from the JSON Schema: every setting with its default.

Both load back to exactly the defaults once the required file names and the tag are filled in.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from textwrap import wrap
from typing import Any

from flyem_snapshot.config.model import Section
from flyem_snapshot.config.schema import json_schema, resolved
from flyem_snapshot.config.words import Node, branches, expected, type_of
from flyem_snapshot.config.yamltext import yaml_text

WIDTH = 100
INDENT = "  "

PREFACE = """\
Every setting is shown with its default; leave out what you do not change. '' or null means "not set".
Names of files and directories are relative to this file, and may begin with ~ or contain environment variables such
as $HOME or ${HOME}."""


def default_yaml(model: type[Section]) -> str:
    """A configuration with every default, without comments (`-y`)."""
    writer = _Writer(json_schema(model), verbose=False)
    return "\n".join(writer.section(writer.schema, {}, WIDTH)) + "\n"


def verbose_yaml(model: type[Section]) -> str:
    """The same with each setting's description before it, and an example wherever names are free (`-Y`)."""
    writer = _Writer(json_schema(model), verbose=True)
    preface = _comment(f"{writer.schema['description']}\n\n{PREFACE}", WIDTH)
    return "\n".join([*preface, *writer.section(writer.schema, {}, WIDTH)]) + "\n"


@dataclass(frozen=True)
class _Writer:
    """Lines of YAML for the nodes of a schema."""

    schema: Node
    verbose: bool

    def section(self, node: Node, values: Mapping[str, Any], width: int) -> Iterator[str]:
        """The settings of a section, with `values` in place of some defaults."""
        for key, entry in node.get("properties", {}).items():
            child = resolved(entry, self.schema)
            required = key in node.get("required", ())
            yield from self._introduction(child, width)
            if "properties" in child:
                yield f"{key}:"
                yield from _indented(self.section(child, values.get(key, {}), width - len(INDENT)))
            elif self.verbose and (example := self._example(child, width - len(INDENT))):
                yield f"{key}:"
                yield from _indented(example)
            elif required and key not in values:
                yield f"{key}: ''  # required"
            else:
                yield from self._leaf(key, values.get(key, self._default(child)))
        if self.verbose and isinstance(node.get("additionalProperties"), Mapping) and "examples" in node:
            yield ""
            yield from _comment("For example (remove the first # of each line):", width)
            yield from _commented(self._entries(node["additionalProperties"], node["examples"][0], width - 2))

    def _introduction(self, node: Node, width: int) -> Iterator[str]:
        """A blank line and the description of a section or setting, with its choices or bounds."""
        if not self.verbose:
            return
        yield ""
        yield from _comment(f"{node['description']}{self._limits(node)}", width)

    def _limits(self, node: Node) -> str:
        """What a value must be, where the description of the setting alone cannot say it."""
        branch, *others = branches(node, self.schema)
        if others or not ({"enum", "minimum", "maximum"} & branch.keys()):
            return ""
        words = expected(branch, self.schema)
        return f" {words[0].upper()}{words[1:]}."

    def _default(self, node: Node) -> Any:
        """The default; text that is not set is '', anything else is null, as users know it."""
        default = node.get("default")
        branch = branches(node, self.schema)[0]
        return "" if default is None and ("enum" in branch or type_of(branch) == "string") else default

    def _leaf(self, key: str, value: Any) -> Iterator[str]:
        yield from yaml_text({key: value}).splitlines()

    def _example(self, node: Node, width: int) -> list[str]:
        """The first example of a list or mapping of sections, commented out; nothing for other settings."""
        branch = branches(node, self.schema)[0]
        entry = branch.get("items") or branch.get("additionalProperties")
        if not isinstance(entry, Mapping) or "properties" not in resolved(entry, self.schema):
            return []
        lines = self._entries(entry, node["examples"][0], width - 2)
        return [*_comment("For example (remove the first # of each line):", width), *_commented(lines)]

    def _entries(self, entry: Node, example: Any, width: int) -> Iterator[str]:
        """The entries of an example: `name:` or `-`, then all settings of each."""
        node = resolved(entry, self.schema)
        named = example.items() if isinstance(example, Mapping) else (("-", values) for values in example)
        for name, values in named:
            yield "-" if name == "-" else f"{name}:"
            lines = list(_indented(self.section(node, values, width - len(INDENT))))
            yield from lines[1:] if lines and not lines[0] else lines


def _indented(lines: Iterator[str] | list[str]) -> Iterator[str]:
    for line in lines:
        yield f"{INDENT}{line}" if line else ""


def _commented(lines: Iterator[str] | list[str]) -> Iterator[str]:
    for line in lines:
        yield f"# {line}".rstrip()


def _comment(text: str, width: int) -> Iterator[str]:
    """A text as comment lines, wrapped; empty lines part paragraphs."""
    for number, paragraph in enumerate(text.split("\n\n")):
        if number:
            yield "#"
        for line in wrap(" ".join(paragraph.split()), width - 2, break_long_words=False, break_on_hyphens=False):
            yield f"# {line}"
