"""The secret that clients must show, where one is asked for."""

from __future__ import annotations

import hmac
import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from flyem_snapshot.errors import SnapshotError

VARIABLE: Final = "NEUPRINT_BRIDGE_TOKEN"

_SHAPE: Final = re.compile(r"[A-Za-z0-9._~+/=-]{8,4096}")


def load_token(file: Path | None, environment: Mapping[str, str] = os.environ) -> str | None:
    """The token in `file`, else in the environment, else None: everybody may ask.

    SnapshotError: the file cannot be read or others may read it; the token is short or has characters that clients
    alter on their way (a colon, a quotation mark, a blank).  The token itself is in no message.
    """
    if file is not None:
        where, token = str(file), _content(file)
    elif environment.get(VARIABLE):
        where, token = f"the environment's {VARIABLE}", environment[VARIABLE].strip()
    else:
        return None
    if not _SHAPE.fullmatch(token):
        hint = "make one with: python -c 'import secrets; print(secrets.token_urlsafe(32))'"
        raise SnapshotError(f"{where}: a token has 8 characters or more, letters, digits and ._~+/=- only", hint=hint)
    return token


def _content(file: Path) -> str:
    try:
        mode = file.stat().st_mode
        text = file.read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        raise SnapshotError(f"{file}: the token cannot be read: {error}") from error
    if stat.S_IMODE(mode) & 0o077:
        raise SnapshotError(f"{file}: others may read or change this token", hint=f"chmod 600 {file}")
    return text


def presented(header: str | None) -> str:
    """The token of an `Authorization: Bearer ...` header, '' if there is none."""
    scheme, _, token = (header or "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def accepted(token: str, expected: str) -> bool:
    """Whether the token is right, in a time that does not tell how much of it is."""
    return hmac.compare_digest(token.encode("utf-8", "surrogateescape"), expected.encode())
