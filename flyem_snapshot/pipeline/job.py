"""A job: a configuration, the stages with their settings, and the directory they write to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from flyem_snapshot.config.load import Loaded, load_config
from flyem_snapshot.config.model import Section, kebab
from flyem_snapshot.config.resolve import input_files, resolve, result_settings
from flyem_snapshot.config.root import Config, config_model
from flyem_snapshot.errors import SettingError
from flyem_snapshot.sources.dvid import connections
from flyem_snapshot.stage import Stage


@dataclass(frozen=True)
class Unit:
    """A stage with its settings, fallbacks filled in: a section, or a tuple of them if the file holds a list.

    `asked` says that another section asks for the stage.
    """

    stage: Stage
    settings: Any
    asked: bool = False

    @property
    def slug(self) -> str:
        """The name of the stage's traces in `cache/`: an output's own name, `inputs-<name>` for an input.

        Both rooms may have a stage of one name (neurotransmitters).
        """
        return self.stage.name if self.stage.room == "outputs" else f"inputs-{self.stage.name}"

    @property
    def section(self) -> tuple[str, str]:
        """The path of the stage's section in the config file."""
        return (self.stage.room, self.stage.name)

    @property
    def enabled(self) -> bool:
        """Whether the settings ask for the stage."""
        return self.asked or self.stage.enabled(self.settings)

    @property
    def switch(self) -> str:
        """Why the stage is off, in words: the setting that would switch it on, if a single flag does."""
        for name, value in self.settings if isinstance(self.settings, Section) else ():
            if value is False and self.stage.enabled(self.settings.model_copy(update={name: True})):
                return f"{kebab(name)} is false"
        return "not in the config"

    def input_files(self) -> dict[str, Path]:
        """The files the stage reads, by dotted setting."""
        return input_files(self.settings)

    def result_settings(self) -> dict[str, Any]:
        """The settings on which the result depends, as JSON values."""
        return result_settings(self.settings)


@dataclass(frozen=True)
class Job:
    """Everything that is known before anything is read: see `open_job`."""

    loaded: Loaded
    config: Config
    units: tuple[Unit, ...]

    @property
    def root(self) -> Path:
        """The absolute path of the output directory."""
        root = self.config.job_settings.output_dir
        assert root is not None, "resolve() fills it in"
        return root

    @property
    def tag(self) -> str:
        """The snapshot tag."""
        tag = self.config.job_settings.snapshot_tag
        assert tag is not None, "a configuration without a tag is not loaded"
        return tag

    def asked(self, unit: Unit, question: Callable[[Any, Any], Any]) -> Any:
        """The answer of a stage's hook; ConfigError if it finds a setting impossible."""
        return _asked(self.loaded, unit.stage, question, self.config)


def composed_model(stages: tuple[Stage, ...]) -> type[Config]:
    """The model of the whole configuration of these stages."""
    sections: list[tuple[str, str, type[Section]]] = [(s.room, s.name, s.config) for s in stages]
    return config_model(sections)


def open_job(path: Path, stages: tuple[Stage, ...]) -> Job:
    """Load and resolve a config file; ConfigError with everything that is wrong with it.

    A server is asked which versions are meant, and for the date that is part of a tag that is not set; what an earlier
    job of this process was told is forgotten.
    """
    connections.forget()
    loaded = load_config(path, composed_model(stages))
    config = resolve(loaded, partial(_settled, loaded, stages))
    units = tuple(Unit(s, config.stage(s.room, s.name), s.asked_elsewhere(config)) for s in stages)
    return Job(loaded, config, units)


def _settled(loaded: Loaded, stages: tuple[Stage, ...], config: Config) -> Config:
    """The configuration with each version that it names looked up, and with a tag."""
    for stage in stages:
        if stage.pin is not None and stage.enabled(config.stage(stage.room, stage.name)):
            config = _with_stage(config, stage, _asked(loaded, stage, stage.pin, config))
    tags = (_asked(loaded, s, s.default_tag, config) for s in stages if s.default_tag is not None)
    job = config.job_settings
    tag = job.snapshot_tag or next(filter(None, tags), None)
    return config.model_copy(update={"job_settings": job.model_copy(update={"snapshot_tag": tag})})


def _asked(loaded: Loaded, stage: Stage, question: Callable[[Any, Any], Any], config: Config) -> Any:
    try:
        return question(config.stage(stage.room, stage.name), config)
    except SettingError as error:
        raise loaded.blame((stage.room, stage.name), error) from error


def _with_stage(config: Config, stage: Stage, settings: Any) -> Config:
    room = getattr(config, stage.room).model_copy(update={stage.field: settings})
    return config.model_copy(update={stage.room: room})
