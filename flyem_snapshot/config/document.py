"""A YAML document as plain values, with the line and column of each of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.constructor import ConstructorError
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from ruamel.yaml.reader import ReaderError

from flyem_snapshot.errors import ConfigError, Problem

KeyPath = tuple[str | int, ...]

SECTIONS = "the sections inputs, outputs and job-settings"
TEMPLATE = "print a template to start from: flyem-snapshot -Y"
MAX_VALUES = 200_000
_TAG = "tag:yaml.org,2002:"
_STANDARD_TAGS = {f"{_TAG}{name}" for name in ("null", "bool", "int", "float", "str", "timestamp", "seq", "map")}
_CONFLICT_MARKERS = ("<<<<<<< ", "=======", ">>>>>>> ")
_SYNTAX_HINTS = {
    "another document": "keep one document: remove the line ---",
    "cannot start any token": "put text that begins with this character in quotes",
    "mapping values are not allowed": "put text that contains ': ' in quotes, and check the indentation",
    "end of stream": "a quote or bracket is not closed",
    "',' or": "a bracket is not closed",
    "block end": "check the indentation of this line and of those above it",
    "undefined alias": "define it above with &name, or put text that begins with * in quotes",
}


@dataclass(frozen=True)
class Mark:
    """Where a value is written: line and column from 1 (of its key, if it has one), and its text if it is a scalar."""

    line: int
    column: int
    text: str = ""


@dataclass(frozen=True)
class Document:
    """The plain value of a YAML file, and where each part of it stands.

    `parts` are the documents of those sections that stand in files of their own, by their paths.
    """

    file: Path
    content: dict[str, Any]
    marks: Mapping[KeyPath, Mark]
    parts: Mapping[KeyPath, Document] = field(default_factory=dict)

    def locate(self, path: KeyPath) -> tuple[int, int]:
        """Line and column (from 1) of the value at a path, or of the nearest enclosing value that is written."""
        while path and path not in self.marks:
            path = path[:-1]
        mark = self.marks.get(path, Mark(1, 1))
        return mark.line, mark.column

    def text(self, path: KeyPath) -> str:
        """A scalar as it is written, without quotes; empty if there is none at this path."""
        return self.marks[path].text if path in self.marks else ""

    def place(self, problem: Problem) -> Problem:
        """The problem with the file, line and column of its path, unless it has a place already."""
        if problem.file:
            return problem
        for length in range(len(problem.path), 0, -1):
            if part := self.parts.get(problem.path[:length]):
                return problem.at(part.file, *part.locate(problem.path[length:]))
        return problem.at(self.file, *self.locate(problem.path))

    def error(self, problems: list[Problem]) -> ConfigError:
        """All of these problems as one error, in file order; those of other files come last."""
        placed = [self.place(problem) for problem in problems]
        files = list(dict.fromkeys([self.file, *(problem.file for problem in placed)]))
        return ConfigError(sorted(placed, key=lambda p: (files.index(p.file), p.line, p.column)))


def read_document(file: Path, consists_of: str = SECTIONS, hint: str = TEMPLATE) -> Document:
    """Read a YAML file whose content is a mapping; ConfigError with the place and the reason if it is not one."""
    text = _decoded(file)
    try:
        node = YAML(typ="safe", pure=True).compose(text)
    except MarkedYAMLError as error:
        raise ConfigError([_syntax_problem(file, text, error)]) from error
    except ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        shown = f"a character that YAML does not allow (U+{ord(text[error.position]):04X})"
        raise ConfigError([Problem((), shown, file=file, line=line, column=1)]) from error
    except YAMLError as error:
        raise ConfigError([Problem((), f"not valid YAML: {error}", file=file, line=1, column=1)]) from error
    except RecursionError as error:
        raise ConfigError([Problem((), "nested too deeply", file=file, line=1, column=1)]) from error
    if not isinstance(node, MappingNode):
        found = "empty" if node is None else "a list" if isinstance(node, SequenceNode) else "a single value"
        message = f"a configuration consists of {consists_of}, but this file is {found}"
        raise ConfigError([Problem((), message, hint, file=file, line=1, column=1)])
    builder = _Builder(file, {(): Mark(1, 1)})
    content = builder.value(node, ())
    document = Document(file, content, builder.marks)
    if builder.problems:
        raise document.error(builder.problems)
    return document


def _decoded(file: Path) -> str:
    """The text of a file; ConfigError if it cannot be read."""
    try:
        raw = file.read_bytes()
    except FileNotFoundError:
        raise ConfigError([Problem((), f"{file}: there is no such file")]) from None
    except IsADirectoryError:
        raise ConfigError([Problem((), f"{file}: this is a directory, not a configuration file")]) from None
    except OSError as error:
        raise ConfigError([Problem((), f"{file}: cannot be read ({error.strerror})")]) from error
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        column = error.start - raw.rfind(b"\n", 0, error.start)
        message = f"not UTF-8 text (byte 0x{raw[error.start]:02X})"
        hint = "save the file as UTF-8 in your editor"
        raise ConfigError([Problem((), message, hint, file=file, line=line, column=column)]) from error


def _syntax_problem(file: Path, text: str, error: MarkedYAMLError) -> Problem:
    """What a YAML error means, with the line it is about and the likely cause."""
    mark = error.problem_mark or error.context_mark
    lines = text.splitlines()
    number = min(mark.line, max(len(lines) - 1, 0)) if mark else 0
    for index, line in enumerate(lines):
        if line.startswith(_CONFLICT_MARKERS):
            message = f"a merge conflict is left in the file: {line.strip()}"
            return Problem((), message, "decide between the two versions", file=file, line=index + 1, column=1)
    line = lines[number] if lines else ""
    reason = error.problem or error.context or "unreadable"
    column = mark.column + 1 if mark and mark.line == number else 1
    message = f"not valid YAML ({reason}): {line.strip()[:80]}"
    return Problem((), message, _syntax_hint(line, reason), file=file, line=number + 1, column=column)


def _syntax_hint(line: str, reason: str) -> str:
    """The likely cause of a YAML error in a line, and its remedy; empty if there is no good guess."""
    if "\t" in line[: len(line) - len(line.lstrip())]:
        return "the line is indented with a tab: use spaces"
    if ": {" in line and "block end" in reason:
        return "put text that begins with { in quotes: '{syndir}/points.feather'"
    return next((hint for words, hint in _SYNTAX_HINTS.items() if words in reason), "")


@dataclass
class _Builder:
    """Turns YAML nodes into plain values, and remembers where they stand and what is wrong with them."""

    file: Path
    marks: dict[KeyPath, Mark] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    open: list[Node] = field(default_factory=list)
    scalars: YAML = field(default_factory=lambda: YAML(typ="safe", pure=True))

    def value(self, node: Node, path: KeyPath) -> Any:
        """The plain value of a node, of which `path` is the place."""
        if path not in self.marks:
            self.marks[path] = _mark(node, node)
        if len(self.marks) > MAX_VALUES:
            raise ConfigError([Problem((), f"the aliases (*name) expand to more than {MAX_VALUES:,} values")])
        if str(node.tag) not in _STANDARD_TAGS:
            self.problems.append(Problem(path, f"the YAML tag {node.tag} is not supported", "write a plain value"))
            return None
        if any(node is other for other in self.open):
            self.problems.append(Problem(path, "this alias contains itself"))
            return None
        self.open.append(node)
        try:
            return self._built(node, path)
        finally:
            self.open.pop()

    def _built(self, node: Node, path: KeyPath) -> Any:
        if isinstance(node, MappingNode):
            return self._mapping(node, path)
        if isinstance(node, SequenceNode):
            return [self.value(entry, (*path, index)) for index, entry in enumerate(node.value)]
        return self._scalar(node, path)

    def _scalar(self, node: Node, path: KeyPath) -> str | int | float | bool | date | None:
        try:
            value: str | int | float | bool | date | None = self.scalars.constructor.construct_object(node)
        except (ConstructorError, ValueError):
            self.problems.append(Problem(path, f"'{node.value}' cannot be read", "put it in quotes if it is text"))
            return None
        return value

    def _mapping(self, node: MappingNode, path: KeyPath) -> dict[str, Any]:
        """A mapping with text keys; its own keys win over merged ones (`<<: *name`)."""
        built: dict[str, Any] = {}
        merged: list[Node] = []
        for key_node, value_node in node.value:
            if str(key_node.tag) == f"{_TAG}merge":
                merged += value_node.value if isinstance(value_node, SequenceNode) else [value_node]
                continue
            key = self._key(key_node, path)
            if key is None:
                continue
            if key in built:
                self._report(key_node, (*path, key), f"given twice; it is also on line {self.marks[*path, key].line}")
                continue
            self.marks[*path, key] = _mark(key_node, value_node)
            built[key] = self.value(value_node, (*path, key))
        for source in merged:
            self._merge(source, path, built)
        return built

    def _merge(self, source: Node, path: KeyPath, built: dict[str, Any]) -> None:
        """Add the keys of a merged mapping that are not there yet; they keep the place where they are written."""
        if not isinstance(source, MappingNode):
            self._report(source, path, "only a mapping can be merged with <<")
            return
        known = dict(self.marks)
        for key, value in self._mapping(source, path).items():
            if key not in built:
                built[key] = value
        self.marks.update(known)

    def _key(self, node: Node, path: KeyPath) -> str | None:
        """A key as text; whole numbers are names like any other."""
        tag = str(node.tag).removeprefix(_TAG)
        if isinstance(node, ScalarNode) and tag in {"str", "int"}:
            return str(node.value)
        shown = f"'{node.value}' ({tag})" if isinstance(node, ScalarNode) else f"a {tag}"
        self._report(node, path, f"a key must be text, not {shown}", "put it in quotes")
        return None

    def _report(self, node: Node, path: KeyPath, message: str, hint: str = "") -> None:
        """Report a problem at a node that is not the value at `path`, such as a key."""
        mark = _mark(node, node)
        self.problems.append(Problem(path, message, hint).at(self.file, mark.line, mark.column))


def _mark(place: Node, value: Node) -> Mark:
    text = value.value if isinstance(value, ScalarNode) else ""
    return Mark(place.start_mark.line + 1, place.start_mark.column + 1, text)
