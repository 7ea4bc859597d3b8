"""Where a path in the configuration leads: `~`, environment variables, `{syndir}`, relative to the config file."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from flyem_snapshot.config.walk import Setting

SYNDIR = "{syndir}"
_VARIABLE = re.compile(r"\$(?:(\w+)|\{(\w+)\})")


def is_path(setting: Setting) -> bool:
    """Whether the value of a setting is a path: always, or because of its suffix."""
    suffix = setting.traits.input_file
    if isinstance(suffix, str):
        return isinstance(setting.value, str) and setting.value.endswith(suffix)
    return isinstance(setting.value, Path) and (suffix or setting.traits.directory)


def is_input_file(setting: Setting) -> bool:
    """Whether the value of a setting is the path to a file that is read."""
    return bool(setting.traits.input_file) and is_path(setting)


def expanded(text: str, base: Path, syndir: Path | None, environment: Mapping[str, str]) -> Path:
    """The absolute path that a text stands for; ValueError that says what cannot be expanded.

    Relative paths begin at `base`, and `..` takes away one name, as in a shell.
    """
    if SYNDIR in text:
        if syndir is None:
            raise ValueError(f"'{text}' uses {SYNDIR}, but inputs.synapses.syndir is not set")
        text = text.replace(SYNDIR, str(syndir))
    for match in _VARIABLE.finditer(text):
        if (name := match[1] or match[2]) not in environment:
            raise ValueError(f"'{text}' uses the environment variable {name}, which is not set")
    text = _VARIABLE.sub(lambda match: environment[match[1] or match[2]], text)
    return Path(os.path.normpath(base / Path(os.path.expanduser(text))))  # noqa: PTH111 - leaves an unknown ~user as it is
