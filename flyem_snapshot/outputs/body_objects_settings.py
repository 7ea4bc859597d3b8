"""Settings that skeletons and meshes share: where their files come from, and what an entry may be called."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from flyem_snapshot.config.dvid import DvidVersion
from flyem_snapshot.config.model import Section, setting
from flyem_snapshot.errors import Problem

_LONGEST_NAME = 100


class KeyValueInstance(DvidVersion):
    """A key-value instance in a DVID server."""

    instance: str | None = setting(
        None,
        doc="""Name of the key-value instance. If not set: that of the segmentation, with _skeletons or _meshes behind
        it.""",
    )


def name_problems(names: Iterable[str], folder: str) -> Iterator[Problem]:
    """The name of an entry becomes part of the name of a folder, `<folder>-<name>`."""
    for name in names:
        if not name or "/" in name or not name.isprintable() or name != name.strip():
            yield Problem((name,), f"becomes the name of a folder, {folder}-<name>: write letters and digits")
        elif len(name.encode()) > _LONGEST_NAME:
            yield Problem((name,), f"becomes the name of a folder: at most {_LONGEST_NAME} letters")


def twin_problems(entries: Mapping[str, Section]) -> Iterator[Problem]:
    """Two entries that say the same would write the same files twice."""
    earlier: dict[str, str] = {}
    for name, entry in entries.items():
        if (same := earlier.setdefault(entry.model_dump_json(), name)) != name:
            yield Problem((name,), f"says the same as '{same}': one would be the copy of the other", "remove one")
