"""From a YAML file to typed settings; every mistake is reported, all at once and in file order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from flyem_snapshot.config.document import Document, KeyPath, read_document
from flyem_snapshot.config.include import with_included
from flyem_snapshot.config.model import Section
from flyem_snapshot.config.root import Config
from flyem_snapshot.config.rules import rule_problems
from flyem_snapshot.config.schema import json_schema
from flyem_snapshot.config.violations import violations
from flyem_snapshot.errors import ConfigError, Problem, SettingError


@dataclass(frozen=True)
class Loaded:
    """A valid configuration as it was written, and where each part of it stands in the file."""

    config: Config
    path: Path
    document: Document

    def locate(self, path: KeyPath) -> tuple[int, int]:
        """Line and column (from 1) of a setting, or of the nearest section around it that is written."""
        return self.document.locate(path)

    def blame(self, section: KeyPath, error: SettingError) -> ConfigError:
        """The error of a stage about one of its settings, with the place in the file.

        `section` is the path of the stage's section; the error's field may be given as in Python or as in the file.
        """
        path = _file_keys(self.config, (*section, *error.field))
        return self.document.error([Problem(path, error.problem, error.hint)])


def load_config(path: Path, model: type[Config]) -> Loaded:
    """Read and check a configuration; ConfigError with all problems if there are any.

    Nothing is expanded or inherited yet: see `resolve`.
    """
    document, included_problems = with_included(read_document(path), model)
    content = document.content
    problems = [*included_problems, *violations(document, json_schema(model))]
    if problems:
        raise document.error(problems)
    try:
        config = model.model_validate(content)
    except ValidationError as error:
        raise document.error([_problem(details) for details in error.errors()]) from error
    if problems := rule_problems(config):
        raise document.error(problems)
    return Loaded(config, path, document)


def _problem(details: Mapping[str, Any]) -> Problem:
    """What pydantic refuses although the schema allows it."""
    return Problem(tuple(details["loc"]), str(details["msg"]))


def _file_keys(config: Section, path: KeyPath) -> KeyPath:
    """A path as it is in the file, from one that may have Python's names of fields."""
    keys: list[str | int] = []
    value: Any = config
    for part in path:
        name = str(part).replace("-", "_")
        if isinstance(value, Section) and name in type(value).model_fields:
            keys.append(value.key_of(name))
            value = getattr(value, name)
        else:
            keys.append(part)
            entries = value.model_extra if isinstance(value, Section) else value
            if isinstance(entries, tuple) and isinstance(part, int):
                value = entries[part]
            else:
                value = entries.get(str(part)) if isinstance(entries, Mapping) else None
    return tuple(keys)
