"""The configuration as it is used: fallbacks filled in, paths absolute.  Nothing here changes the loaded one."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from flyem_snapshot.config.fallbacks import with_fallbacks
from flyem_snapshot.config.load import Loaded
from flyem_snapshot.config.model import Section, traits_of
from flyem_snapshot.config.paths import expanded, is_input_file, is_path
from flyem_snapshot.config.root import Config
from flyem_snapshot.config.walk import Setting, rebuilt, settings, value_at
from flyem_snapshot.config.yamltext import yaml_text


def resolve(loaded: Loaded, settle: Callable[[Config], Config] = lambda config: config) -> Config:
    """A new configuration in which every fallback is filled in and every path is absolute.

    Paths are relative to the config file, but an unset `output-dir` to the current directory.  `settle` may replace
    what can only be known from elsewhere, such as an unset snapshot tag.
    """
    base = _directory_of(loaded.path)
    config = with_fallbacks(loaded.config)
    syndir = value_at(config, "inputs.synapses.syndir")
    absolute_syndir = None if syndir is None else expanded(str(syndir), base, None, os.environ)

    def absolute(setting: Setting) -> Any:
        if not is_path(setting):
            return setting.value
        path = expanded(str(setting.value), base, absolute_syndir, os.environ)
        return path if isinstance(setting.value, Path) else str(path)

    config = settle(rebuilt(config, absolute))
    output = output_directory(config, loaded.path)
    return config.model_copy(update={"job_settings": config.job_settings.model_copy(update={"output_dir": output})})


def output_directory(config: Config, config_path: Path) -> Path:
    """The absolute directory of all results: `output-dir` relative to the config file, else `./<snapshot-tag>`."""
    job = config.job_settings
    if job.output_dir is not None:
        return expanded(str(job.output_dir), _directory_of(config_path), None, os.environ)
    assert job.snapshot_tag is not None, "a configuration without a tag is not loaded"
    return Path.cwd() / job.snapshot_tag


def final_config_yaml(config: Config) -> str:
    """A resolved configuration as YAML, which loads again to an equal one wherever it lies."""
    return yaml_text(config.model_dump(mode="json", by_alias=True))


def input_files(section: Section | Sequence[Section]) -> dict[str, Path]:
    """The files that a section reads, by dotted setting (`mito.point-table`); their content belongs in cache keys.

    Of a list of sections the settings begin with the number of the section.  A file that may be missing, and is, is
    left out.
    """
    if not isinstance(section, Section):
        listed = enumerate(map(input_files, section))
        return {f"{number}.{name}": path for number, files in listed for name, path in files.items()}
    found = {".".join(map(str, setting.path)): setting for setting in settings(section) if is_input_file(setting)}
    paths = {name: (Path(setting.value), setting.traits.may_be_missing) for name, setting in found.items()}
    return {name: path for name, (path, optional) in paths.items() if not optional or path.is_file()}


def result_settings(section: Section | Sequence[Section]) -> dict[str, Any]:
    """The settings of a section on which its result depends, as plain JSON values by key; input files are left out."""
    if not isinstance(section, Section):
        return {str(number): result_settings(entry) for number, entry in enumerate(section)}
    kept: dict[str, Any] = {}
    for name, field in type(section).model_fields.items():
        value, traits = getattr(section, name), traits_of(field)
        setting = Setting((section.key_of(name),), section, name, traits, value)
        is_file = traits.input_file is True and not isinstance(value, str)
        if traits.affects_result and not is_file and not is_input_file(setting):
            kept[section.key_of(name)] = _plain(value)
    return kept | {key: _plain(value) for key, value in (section.model_extra or {}).items()}


def _plain(value: Any) -> Any:
    if isinstance(value, Section):
        return result_settings(value)
    if isinstance(value, Mapping):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(entry) for entry in value]
    return str(value) if isinstance(value, Path) else value


def _directory_of(config_path: Path) -> Path:
    return Path(os.path.abspath(config_path)).parent  # noqa: PTH100 - links in the path stay as the user knows them
