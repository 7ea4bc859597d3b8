"""Walking through settings: every section, every setting, and a changed copy of the whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from flyem_snapshot.config.model import Section, Traits, traits_of

Path = tuple[str | int, ...]
S = TypeVar("S", bound=Section)


@dataclass(frozen=True)
class Setting:
    """One setting of a configuration: where it stands, its traits and its value."""

    path: Path
    section: Section
    name: str
    traits: Traits
    value: Any

    @property
    def is_default(self) -> bool:
        """Whether the value is the default, written or not."""
        return bool(self.value == type(self.section).model_fields[self.name].default)

    @property
    def written(self) -> bool:
        """Whether the value was given rather than left at its default."""
        return self.name in self.section.model_fields_set


def sections(root: Section, path: Path = ()) -> Iterator[tuple[Path, Section]]:
    """The section itself and all sections within it, each with its path, outermost first."""
    yield path, root
    for key, value in _entries(root):
        yield from _sections_in(value, (*path, key))


def _sections_in(value: Any, path: Path) -> Iterator[tuple[Path, Section]]:
    if isinstance(value, Section):
        yield from sections(value, path)
    elif isinstance(value, Mapping):
        for key, entry in value.items():
            yield from _sections_in(entry, (*path, key))
    elif isinstance(value, tuple):
        for index, entry in enumerate(value):
            yield from _sections_in(entry, (*path, index))


def _entries(section: Section) -> Iterator[tuple[str, Any]]:
    """The values of a section by the keys of the file; user-named entries come last."""
    for name in type(section).model_fields:
        yield section.key_of(name), getattr(section, name)
    yield from (section.model_extra or {}).items()


def settings(root: Section) -> Iterator[Setting]:
    """Every declared setting within `root`, however deep; sections themselves are not settings."""
    for path, section in sections(root):
        for name, field in type(section).model_fields.items():
            value = getattr(section, name)
            if not isinstance(value, Section):
                yield Setting((*path, section.key_of(name)), section, name, traits_of(field), value)


def rebuilt(section: S, change: Callable[[Setting], Any], path: Path = ()) -> S:
    """A copy in which every setting has the value that `change` returns; the others count as (un)written as before."""
    update: dict[str, Any] = {}
    for name, field in type(section).model_fields.items():
        here, value = (*path, section.key_of(name)), getattr(section, name)
        changed = value
        if not isinstance(value, Section):
            changed = change(Setting(here, section, name, traits_of(field), value))
        changed = _rebuilt_within(changed, change, here)
        if changed != value:
            update[name] = changed
    for key, value in (section.model_extra or {}).items():
        update[key] = _rebuilt_within(value, change, (*path, key))
    return section.model_copy(update=update)


def _rebuilt_within(value: Any, change: Callable[[Setting], Any], path: Path) -> Any:
    if isinstance(value, Section):
        return rebuilt(value, change, path)
    if isinstance(value, Mapping):
        return {key: _rebuilt_within(entry, change, (*path, key)) for key, entry in value.items()}
    if isinstance(value, tuple):
        return tuple(_rebuilt_within(entry, change, (*path, index)) for index, entry in enumerate(value))
    return value


def value_at(root: Section, address: str) -> Any:
    """The value at an address such as `job-settings.processes`; `.*` at its end asks for the names in a section.

    None if some part of the address does not exist in this model.
    """
    value: Any = root
    for key in address.split("."):
        if key == "*":
            return tuple(value)
        value = getattr(value, key.replace("-", "_"), None)
        if value is None:
            return None
    return value
