"""CAVE from Python: one object for a datastack, with the services behind it.

    from flyem_snapshot.cave import FrameworkClient
    client = FrameworkClient("minnie65_public", version=1300)

It needs nothing of the pipeline, and loads numpy, requests, pyarrow and pandas only when they are used.
"""

from flyem_snapshot.cave.failures import (
    AuthError,
    CaveError,
    Conflict,
    Expired,
    Forbidden,
    GlobalClientError,
    Invalid,
    LimitError,
    NotFound,
    TimedOut,
    TokenFileError,
    TooManyRequests,
    Unfinished,
    VersionError,
)
from flyem_snapshot.cave.framework import DEFAULT_SERVER, FrameworkClient

__all__ = [
    "DEFAULT_SERVER",
    "AuthError",
    "CaveError",
    "Conflict",
    "Expired",
    "Forbidden",
    "FrameworkClient",
    "GlobalClientError",
    "Invalid",
    "LimitError",
    "NotFound",
    "TimedOut",
    "TokenFileError",
    "TooManyRequests",
    "Unfinished",
    "VersionError",
]
