"""The script that makes the indexes of the database, in Cypher that neo4j 4.4 and 5 understand alike."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from flyem_snapshot.outputs.neuprint.settings import NeuprintSettings

FULLTEXT: Final = "find_neurons_fulltext_properties_index"
"""The search box of the web pages asks for the full-text index by this name."""

MAX_NAME: Final = 250
"""Longer names of indexes are shortened; neo4j takes more, but people and tools cut them off."""

_WAIT: Final = 86_400
_SEGMENTS: Final = ("Segment", "Neuron")


def index_script(
    config: NeuprintSettings,
    segment_properties: Iterable[str],
    rois: Iterable[str],
    element_rois: Mapping[str, Sequence[str]],
    excluded_rois: Collection[str] = (),
) -> str:
    """The whole script, for cypher-shell.

    `rois` are the ROIs of Segments, `excluded_rois` those of `exclude-roisets`; `element_rois` has for each element
    label that occurs the ROIs to index.  Every label and property that is named exists: the caller passes no others.
    """
    assert config.meta is not None
    properties = set(segment_properties)
    excluded = set(config.indexes.exclude_properties)
    script = _Script(config.meta.dataset)
    script.constraints()
    script.point()
    for label in (*(label for label in _SEGMENTS if "type" in properties), "Synapse"):
        script.index(label, "type")
    script.index(script.own("Synapse"), "bodyId")
    for label, names in element_rois.items():
        for name in ("bodyId", *names):
            script.index(script.own(label), name)
    for name in sorted(properties - excluded - {"bodyId"}):
        script.segment_index(name)
    for name in sorted(set(rois) - excluded - set(excluded_rois) - properties):
        script.segment_index(name)
    script.fulltext([name for name in config.indexes.find_neurons_fulltext_index_properties if name in properties])
    script.wait()
    return "\n".join(script.lines) + "\n"


@dataclass
class _Script:
    """Statements so far; each makes one thing and then says so with the time."""

    dataset: str
    lines: list[str] = field(default_factory=list)
    names: set[str] = field(default_factory=set)
    indexed: set[tuple[str, str]] = field(default_factory=set)

    def own(self, kind: str) -> str:
        """The label that only nodes of this dataset have."""
        return f"{self.dataset}_{kind}"

    def constraints(self) -> None:
        """Body ids are unique, and found quickly."""
        for label in map(self.own, _SEGMENTS):
            name = self._name(f"{label}_bodyId_unique")
            self._step(
                f"CREATE CONSTRAINT {name} IF NOT EXISTS FOR (n:{_quoted(label)}) REQUIRE n.`bodyId` IS UNIQUE",
                f"unique bodyId of {label}",
            )

    def point(self) -> None:
        """Elements are found by place."""
        label, name = self.own("Element"), self._name(f"{self.dataset}ElementLocation")
        self._step(
            f"CREATE POINT INDEX {name} IF NOT EXISTS FOR (n:{_quoted(label)}) ON (n.`location`)",
            f"point index on location of {label}",
        )

    def segment_index(self, name: str) -> None:
        """An index on a property of Segments and of Neurons."""
        for label in _SEGMENTS:
            self.index(self.own(label), name)

    def index(self, label: str, name: str) -> None:
        """An index on one property, unless the script makes it already: neo4j refuses a second one."""
        if (label, name) in self.indexed:
            return
        self.indexed.add((label, name))
        index, place = self._name(f"{label}_{name}"), f"(n:{_quoted(label)}) ON (n.{_quoted(name)})"
        self._step(f"CREATE INDEX {index} IF NOT EXISTS FOR {place}", f"index on {name} of {label}")

    def fulltext(self, names: Sequence[str]) -> None:
        """The index of the search box; none if none of its properties exists."""
        if not names:
            return
        label = self.own("Neuron")
        columns = ", ".join(f"n.{_quoted(name)}" for name in dict.fromkeys(names))
        self._step(
            f"CREATE FULLTEXT INDEX {self._name(FULLTEXT)} IF NOT EXISTS FOR (n:{_quoted(label)}) ON EACH [{columns}]",
            f"full-text index of {label}",
        )

    def wait(self) -> None:
        """Come back only when all indexes can be used, and show them."""
        self._step(f"CALL db.awaitIndexes({_WAIT})", "all indexes are online")
        self.lines += ["SHOW DATABASES;", "SHOW INDEXES;"]

    def _step(self, statement: str, message: str) -> None:
        self.lines += [f"{statement};", f"RETURN toString(datetime()) AS time, {_text(message)} AS done;"]

    def _name(self, wanted: str) -> str:
        """A quoted name that no other index of the script has."""
        return _quoted(next(name for name in _variants(wanted) if self._is_free(name)))

    def _is_free(self, name: str) -> bool:
        free = name not in self.names
        self.names.add(name)
        return free


def _variants(wanted: str) -> Iterator[str]:
    """A name and what to try if it is taken."""
    if len(wanted) > MAX_NAME:
        digest = hashlib.sha256(wanted.encode()).hexdigest()[:16]
        wanted = f"{wanted[: MAX_NAME - 20]}_{digest}"
    yield wanted
    number = 2
    while True:
        yield f"{wanted}_{number}"
        number += 1


def _quoted(name: str) -> str:
    """A name in back-ticks."""
    return "`" + name.replace("`", "``") + "`"


def _text(text: str) -> str:
    """A text literal."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
