"""The token with which neuPrint's server knows its users."""

from __future__ import annotations

import json
import os
from typing import Final

from flyem_snapshot.errors import SnapshotError

VARIABLE: Final = "NEUPRINT_APPLICATION_CREDENTIALS"


def load_token() -> str:
    """The token from the environment: as it is, or as the JSON that neuPrint's account page shows.

    SnapshotError: there is none.  It is never part of a message.
    """
    given = os.environ.get(VARIABLE, "").strip()
    token = (_in_json(given) if given.startswith("{") else given).strip('"')
    if not token:
        hint = f"copy it from the account page of the neuPrint server, then: export {VARIABLE}=..."
        raise SnapshotError(f"no token for neuPrint: {VARIABLE} is not set, or holds none", hint=hint)
    if not (token.isascii() and token.isprintable()) or " " in token:
        raise SnapshotError(f"{VARIABLE} holds no token: it has blanks or characters that no token has")
    return token


def _in_json(text: str) -> str:
    try:
        return str(json.loads(text).get("token", ""))
    except ValueError:
        return ""
