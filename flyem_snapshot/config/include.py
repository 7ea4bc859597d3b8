"""Parts of the configuration that stand in files of their own: read, and put in their places before all is checked."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, get_args

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from flyem_snapshot.config.document import Document, KeyPath, read_document
from flyem_snapshot.config.model import Section, traits_of
from flyem_snapshot.config.paths import expanded
from flyem_snapshot.config.schema import json_schema
from flyem_snapshot.config.violations import violations
from flyem_snapshot.errors import ConfigError, Problem


def with_included(document: Document, model: type[Section]) -> tuple[Document, list[Problem]]:
    """The document with the content of every file that it includes, and what is wrong with those files.

    The problems have their places.  A section whose file has problems is left out.
    """
    includer = _Includer(_directory(document.file), _syndir(document.content))
    content = includer.section(document.content, model, (), document)
    return replace(document, content=content, parts=includer.parts), includer.problems


@dataclass
class _Includer:
    """Follows a model through a document; remembers the documents of sections that have files of their own."""

    base: Path
    syndir: Path | None
    parts: dict[KeyPath, Document] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def section(self, content: Mapping[str, Any], model: type[Section], path: KeyPath, place: Document) -> Any:
        """The content of a section, files included; `place` is the document in which it stands, at `path`."""
        built = dict(content)
        for name, described in model.model_fields.items():
            key, inner, traits = model.key_of(name), _section_in(described.annotation), traits_of(described)
            value = content.get(key)
            if traits.own_file and inner is not None and isinstance(value, str) and value:
                part = self.own_file(value, inner, (*path, key), place)
                built[key] = None if part is None else part.content
            elif traits.inlined:
                built |= {key: self.inlined(value, traits.inlined, (*path, key), place)} if key in content else {}
            elif inner is not None and isinstance(value, Mapping):
                built[key] = self.section(value, inner, (*path, key), place)
        return built

    def own_file(self, text: str, model: type[Section], path: KeyPath, place: Document) -> Document | None:
        """The document of a section that stands in a file of its own; None if it has problems."""
        file = self._path(text, self.base, place, path)
        if file is None:
            return None
        try:
            part = read_document(file, "settings by name", "write one setting a line, for example 'name: value'")
        except ConfigError as error:
            known = (problem if problem.file else replace(problem, path=path) for problem in error.problems)
            self.problems += map(place.place, known)
            return None
        inside = _Includer(_directory(file), self.syndir)
        part = replace(part, content=inside.section(part.content, model, (), part))
        found = [*inside.problems, *violations(part, json_schema(model))]
        self.problems += part.error(found).problems if found else ()
        self.parts[path] = part
        return None if found else part

    def inlined(self, value: Any, suffixes: tuple[str, ...], path: KeyPath, place: Document) -> Any:
        """A value in which the content of each named file has taken the place of its name."""
        return self._inlined(value, suffixes, path, place, self.base, ())

    def _inlined(
        self, value: Any, suffixes: tuple[str, ...], path: KeyPath, place: Document, base: Path, above: tuple[Path, ...]
    ) -> Any:
        """As `inlined`; `above` are the files in which the value stands."""
        if isinstance(value, Mapping):
            return {k: self._inlined(v, suffixes, (*path, k), place, base, above) for k, v in value.items()}
        if isinstance(value, list):
            return [self._inlined(v, suffixes, (*path, i), place, base, above) for i, v in enumerate(value)]
        if not isinstance(value, str) or not value.endswith(suffixes):
            return value
        file = self._path(value, base, place, path)
        if file is None or file in above:
            if file is not None:
                self._report(place, path, f"{file} includes itself")
            return None
        try:
            content = _content(file)
        except (OSError, ValueError, YAMLError, RecursionError) as error:
            reason = error.strerror if isinstance(error, OSError) else " ".join(str(error).split())
            self._report(place, path, f"{file} cannot be read: {reason}", "write the name of a JSON or YAML file")
            content = None
        return self._inlined(content, suffixes, path, place, file.parent, (*above, file))

    def _path(self, text: str, base: Path, place: Document, path: KeyPath) -> Path | None:
        try:
            return expanded(text, base, self.syndir, os.environ)
        except ValueError as error:
            self._report(place, path, str(error))
            return None

    def _report(self, place: Document, path: KeyPath, message: str, hint: str = "") -> None:
        self.problems.append(place.place(Problem(path, message, hint)))


def _section_in(annotation: Any) -> type[Section] | None:
    """The section that a field holds, if it holds one: `X` or `X | None`."""
    kinds = [kind for kind in (annotation, *get_args(annotation)) if isinstance(kind, type)]
    return next((kind for kind in kinds if issubclass(kind, Section)), None)


def _content(file: Path) -> Any:
    """The plain value in a JSON or YAML file; ValueError or YAMLError if it is none or has a key twice."""
    text = file.read_text(encoding="utf-8-sig")
    if file.suffix == ".json":
        return json.loads(text, object_pairs_hook=_each_once)
    return YAML(typ="safe", pure=True).load(text)


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    built = dict(pairs)
    if len(built) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"'{next(name for name in names if names.count(name) > 1)}' is given twice")
    return built


def _syndir(content: Mapping[str, Any]) -> Path | None:
    """`inputs.synapses.syndir` as it is written, if it is; what is wrong with it is found later."""
    value: Any = content
    for key in ("inputs", "synapses", "syndir"):
        value = value.get(key) if isinstance(value, Mapping) else None
    return Path(value) if isinstance(value, str) and value else None


def _directory(file: Path) -> Path:
    return Path(os.path.abspath(file)).parent  # noqa: PTH100 - links in the path stay as the user knows them
