"""What a stage is: a settings model, a function, and what the runner lends it.

A stage's keyword-only parameters name the tables it reads (fields of `Snapshot`), so the order of a run,
the cache keys and the release of memory all follow from the signature, and a stage cannot read what it did
not declare.  An input stage returns one table, named like the stage (`body-sizes` -> `body_sizes`); an
output stage returns nothing and writes through `ctx.out`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from pathlib import Path

    from flyem_snapshot.config.model import Section
    from flyem_snapshot.engine.outdir import OutputDir
    from flyem_snapshot.engine.session import Engine
    from flyem_snapshot.errors import Problem, SnapshotError
    from flyem_snapshot.tables.exclusions import Exclusions


@dataclass(frozen=True)
class Context:
    """What the runner lends to a stage for one execution.

    `scratch` is an empty directory that is removed after the stage; `cache` is the stage's own directory
    below the output's `cache/`, as a path relative to `out.root` (pass it to `out.create`).  `resume` is a directory
    for what a killed run shall find again, such as answers of a server: it belongs to the stage's key, exists, and is
    removed when the stage is done.
    """

    tag: str
    engine: Engine
    out: OutputDir
    exclusions: Exclusions
    scratch: Path
    cache: str
    resume: Path


@dataclass(frozen=True)
class Stage:
    """One line of the registry.

    `name` is the key of the section in the config file (`flat-connectome`), `room` the section it lies in.
    `run(config, ctx, *, <tables>)` does the work; `config` is a tuple where the file holds a list (`ListedSection`).
    `version` goes up when results change for equal input.  `produces` is the table class of an input stage.
    `enabled` says whether a config asks for the stage, `asked_elsewhere` whether another section does, given the
    whole configuration.
    `check(config, whole_config)` finds in seconds what would make `run` fail, from headers and settings alone: a
    `Problem` or `SettingError` (their paths begin within the stage's section), or a `DataError`.

    Four more are for stages that read from a server.  `pin(config, whole_config)` returns the settings with each
    expression such as `:master~1` replaced by the version that it stands for, once, before anything else.
    `default_tag(config, whole_config)` names the snapshot if the settings do not; "" if it cannot.
    `source(config, whole_config)` says what the server holds now, as JSON values that go into the stage's key; None
    if the stage does not ask a server.  While people edit, that may change before it is read: then the table says
    in its attribute `source` what was read.  `afterwards(config, whole_config)` is what can be said of the source at
    the end of the run, for `run-summary.json`.
    """

    name: str
    room: Literal["inputs", "outputs"]
    config: type[Section]
    run: Callable[..., Any]
    version: int = 1
    produces: type[Any] | None = None
    enabled: Callable[[Any], bool] = field(default=lambda config: True)
    asked_elsewhere: Callable[[Any], bool] = field(default=lambda whole: False)
    check: Callable[[Any, Any], Sequence[Problem | SnapshotError]] | None = None
    pin: Callable[[Any, Any], Any] | None = None
    default_tag: Callable[[Any, Any], str] | None = None
    source: Callable[[Any, Any], Mapping[str, Any] | None] | None = None
    afterwards: Callable[[Any, Any], Mapping[str, Any]] | None = None

    @property
    def field(self) -> str:
        """The name under which other stages ask for this stage's table."""
        return self.name.replace("-", "_")

    @property
    def needs(self) -> tuple[str, ...]:
        """The tables this stage reads: its keyword-only parameters, in order."""
        parameters = inspect.signature(self.run).parameters.values()
        return tuple(p.name for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY)
