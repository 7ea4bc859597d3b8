"""The key of a stage: what its result depends on, in named parts, so that a later run can say what changed."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final

from flyem_snapshot.pipeline.digests import FileDigests
from flyem_snapshot.pipeline.job import Job, Unit
from flyem_snapshot.pipeline.records import digest_of

_SHOWN: Final = 3
_UNSET: Final = object()


class SourceStates:
    """What the servers hold that stages read from, asked once for a run.

    A stage that finds that its source changed while it was read says so with `moved`.
    """

    def __init__(self, job: Job) -> None:
        self.job = job
        self._known: dict[str, Mapping[str, Any] | None] = {}

    def of(self, unit: Unit) -> Mapping[str, Any] | None:
        """The state of a stage's source; None if it reads no server."""
        if unit.slug not in self._known:
            ask = unit.stage.source
            self._known[unit.slug] = None if ask is None else self.job.asked(unit, ask)
        return self._known[unit.slug]

    def moved(self, unit: Unit, state: Mapping[str, Any]) -> bool:
        """Take what was read as the state; returns whether it is another one than before."""
        before, self._known[unit.slug] = self.of(unit), state
        return before != state


class Keys:
    """Computes each stage's key parts once, when they are first asked for: an input file may take time to digest.

    `sources` are the stages that make tables, by table name; None for a table that the config leaves out.
    """

    def __init__(
        self, digests: FileDigests, tag: str, sources: Mapping[str, Unit | None], states: SourceStates
    ) -> None:
        self.digests, self.tag, self.sources, self.states = digests, tag, sources, states
        self._parts: dict[str, dict[str, Any]] = {}

    def parts(self, unit: Unit) -> dict[str, Any]:
        """The named parts, as JSON values.

        stage     outputs.flat-connectome
        version   1
        settings  the settings that affect the result
        files     {setting: digest of the file's content}
        source    what a server holds, of stages that ask one
        tables    {table: key of the stage that makes it, null if it is absent}
        tag       of outputs only, whose file names contain it
        """
        if unit.slug not in self._parts:
            parts: dict[str, Any] = {
                "stage": ".".join(unit.section),
                "version": unit.stage.version,
                "settings": unit.result_settings(),
                "files": {name: self.digests.identify(path).digest for name, path in unit.input_files().items()},
                "tables": {table: self._table_key(table) for table in unit.stage.needs},
            }
            if (state := self.states.of(unit)) is not None:
                parts["source"] = state
            if unit.stage.room == "outputs":
                parts["tag"] = self.tag
            self._parts[unit.slug] = json.loads(json.dumps(parts))
        return self._parts[unit.slug]

    def key(self, unit: Unit) -> str:
        """The digest of the parts."""
        return digest_of(self.parts(unit))

    def _table_key(self, table: str) -> str | None:
        source = self.sources[table]
        return None if source is None else self.key(source)


def describe_changes(name: str, old: Mapping[str, Any], new: Mapping[str, Any], running: Collection[str]) -> str:
    """Why a stage with the key parts `old` is not the one with `new`, in words; `running` are the tables made anew."""
    changes = list(_changes(name, old, new, running))
    more = f"; and {len(changes) - _SHOWN} more" if len(changes) > _SHOWN else ""
    return "; ".join(changes[:_SHOWN]) + more


def _changes(name: str, old: Mapping[str, Any], new: Mapping[str, Any], running: Collection[str]) -> Iterator[str]:
    if old.get("version") != new["version"]:
        yield f"its results changed in version {new['version']} (was {old.get('version')})"
    before, after = _flat(old.get("settings"), (name,)), _flat(new["settings"], (name,))
    for key in _differing(before, after):
        yield f"settings changed: {key}: {_shown(before, key)} -> {_shown(after, key)}"
    for key in _differing(old.get("files"), new["files"]):
        known = key in (old.get("files") or {}) and key in new["files"]
        what = "changed (content)" if known else "is new" if key in new["files"] else "is no longer given"
        yield f"input {name}.{key} {what}"
    then, now = _flat(old.get("source") or {}, ()), _flat(new.get("source") or {}, ())
    for key in _differing(then, now):
        yield f"its source changed: {key}: {_shown(then, key)} -> {_shown(now, key)}"
    for table in _differing(old.get("tables"), new["tables"]):
        stage = table.replace("_", "-")
        yield f"depends on {stage}, which runs" if table in running else f"depends on {stage}, which changed"
    if old.get("tag") != new.get("tag"):
        yield f"snapshot tag changed: {old.get('tag')} -> {new.get('tag')}"


def _differing(old: Mapping[str, Any] | None, new: Mapping[str, Any]) -> list[str]:
    before = old or {}
    names = [*new, *(name for name in before if name not in new)]
    return [name for name in names if before.get(name, _UNSET) != new.get(name, _UNSET)]


def _flat(settings: Any, path: tuple[str, ...]) -> dict[str, Any]:
    """Settings by dotted key."""
    if not isinstance(settings, Mapping) or not settings:
        return {".".join(path): settings}
    return {name: value for key, entry in settings.items() for name, value in _flat(entry, (*path, key)).items()}


def _shown(settings: Mapping[str, Any], key: str) -> str:
    value = settings.get(key)
    if value is None:
        return "(not set)"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}..."
