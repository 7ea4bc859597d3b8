"""Tokens on disk, in the files that every CAVE client reads: `{"token": "..."}`, readable by their owner only."""

from __future__ import annotations

import json
import logging
import os
import stat
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from flyem_snapshot.cave.failures import TokenFileError

logger = logging.getLogger(__name__)

KEY: Final = "token"
DEFAULT_FILE: Final = "chunkedgraph-secret.json"
"""Where new tokens go: the one file that all clients of all ages read."""


def secrets_folder() -> Path:
    """`~/.cloudvolume/secrets`."""
    return Path.home() / ".cloudvolume" / "secrets"


def candidates(server: str) -> list[Path]:
    """Where a token for a server may be, first choice first: the server's own file, then those for all servers."""
    # A colon before a port is part of the name that other clients look for, too.
    names = [f"{urlsplit(server).netloc}-cave-secret.json", "cave-secret.json", DEFAULT_FILE]
    return [secrets_folder() / name for name in names]


def find_token(files: list[Path], key: str) -> str | None:
    """The token in the first of the files that exists and has the key; None if there is none."""
    for path in files:
        if token := _read(path).get(key):
            return checked_token(token, f"the token '{key}' in {path}")
    return None


def has_key(path: Path, key: str) -> bool:
    """Whether a file of tokens has something under a key."""
    return key in _read(path, warn=False)


def save_token(token: str, files: list[Path], key: str, *, overwrite: bool) -> None:
    """Write a token into files, beside the other keys that they have; each is replaced at once or not at all.

    TokenFileError, before anything is written, if one of them has another token under the key and not `overwrite`.
    """
    checked_token(token, "the new token")
    contents = {path: _read(path, warn=False) for path in files}
    for path, content in contents.items():
        if not overwrite and content.get(key, token) != token:
            hint = "overwrite=True replaces it; token_file= or token_key= saves the new one elsewhere"
            raise TokenFileError(f"{path} already has a token under the key '{key}'", hint=hint)
    for path, content in contents.items():
        _write(path, {**content, key: token})


def checked_token(token: Any, what: str) -> str:
    """The token itself, without space around it; TokenFileError, which does not show it, if it cannot be one."""
    word = token.strip() if isinstance(token, str) else ""
    if not word or not word.isascii() or not word.isprintable() or " " in word:
        raise TokenFileError(f"{what} cannot be used", hint="a token is one word of plain letters and digits")
    return word


def _read(path: Path, *, warn: bool = True) -> Mapping[str, Any]:
    """The keys of a file; none if it does not exist."""
    try:
        text = path.read_text("utf-8")
        mode = path.stat().st_mode
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise TokenFileError(f"{path} cannot be read: {reason}") from None
    try:
        content = json.loads(text)
    except ValueError:  # whose message might show what is in the file
        content = None
    if not isinstance(content, dict):
        raise TokenFileError(f"{path} is not a JSON object", hint='it should look like {"token": "..."}')
    if warn and stat.S_IMODE(mode) & 0o077:
        logger.warning("other users of this machine can read the token in %s; `chmod 600` mends that", path)
    return content


def _write(path: Path, content: Mapping[str, Any]) -> None:
    # A link, such as one into a folder of dotfiles, stays a link.
    path = path.resolve()
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        number, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # mode 0600 from the beginning
        try:
            with os.fdopen(number, "w", encoding="utf-8") as file:
                json.dump(content, file, indent=2)
                file.flush()
                os.fsync(file.fileno())
            os.replace(name, path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise TokenFileError(f"{path} cannot be written: {error.strerror}") from None
