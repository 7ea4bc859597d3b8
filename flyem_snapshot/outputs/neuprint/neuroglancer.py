"""The neuroglancer state that neuPrint's web pages open: a template of the user with names filled in."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NoReturn

from flyem_snapshot.connectome.neuprint_files import FOLDER
from flyem_snapshot.errors import SettingError
from flyem_snapshot.outputs.neuprint.settings import NeuprintSettings
from flyem_snapshot.stage import Context

_FIELD = ("neuroglancer", "json-state")


def write_neuroglancer_state(config: NeuprintSettings, ctx: Context) -> None:
    """Write `neuprint/<dataset[:tag]>.json`; nothing without a template.  SettingError if the result is not JSON."""
    if config.neuroglancer.json_state is not None:
        ctx.out.write_text(f"{FOLDER}/{config.dataset_and_tag}.json", state_text(config))


def state_text(config: NeuprintSettings) -> str:
    """The state, indented, lists of numbers on one line each; SettingError if it cannot be made."""
    path = config.neuroglancer.json_state
    assert path is not None
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise SettingError(_FIELD, f"{path} cannot be read: {reason}") from error
    for key, value in replacements(config).items():
        text = text.replace(key, value)
    try:
        state = json.loads(text, parse_constant=_refuse)
    except json.JSONDecodeError as error:
        line = text.splitlines()[error.lineno - 1].strip()[:80] if text.strip() else ""
        problem = (
            f"{path} is not JSON once the names are replaced (line {error.lineno}, column {error.colno}: {error.msg})"
        )
        hint = f"that line then reads: {line}" if line else "the file is empty"
        raise SettingError(_FIELD, problem, hint=hint) from error
    except (ValueError, RecursionError) as error:
        raise SettingError(_FIELD, f"{path} is not JSON once the names are replaced: {error}") from error
    return "".join(_pretty(state, "")) + "\n"


def replacements(config: NeuprintSettings) -> dict[str, str]:
    """Every text to be replaced with what replaces it, the longest first, since one may be part of another."""
    assert config.meta is not None
    given = config.neuroglancer.replacements
    found = {
        "DATASET_AND_TAG": given.DATASET_AND_TAG or config.dataset_and_tag,
        "DVID_UUID": given.DVID_UUID or config.meta.uuid or "",
        "VERSION_TAG": given.VERSION_TAG or config.meta.tag or "",
        **given.others,
    }
    return {key: found[key] for key in sorted(found, key=len, reverse=True)}


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON value")


def _pretty(value: Any, indent: str) -> Iterator[str]:
    """JSON in pieces, as `json.dumps(indent=2)` writes it except for lists of numbers."""
    inner = f"{indent}  "
    if isinstance(value, dict) and value:
        entries = [(f"{json.dumps(key, ensure_ascii=False)}: ", entry) for key, entry in value.items()]
        brackets = "{}"
    elif isinstance(value, list) and value and not all(isinstance(entry, int | float) for entry in value):
        entries = [("", entry) for entry in value]
        brackets = "[]"
    else:
        yield json.dumps(value, ensure_ascii=False)
        return
    for number, (key, entry) in enumerate(entries):
        yield f"{brackets[0] if number == 0 else ','}\n{inner}{key}"
        yield from _pretty(entry, inner)
    yield f"\n{indent}{brackets[1]}"
