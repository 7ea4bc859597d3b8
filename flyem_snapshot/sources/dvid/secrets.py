"""What must not be seen: tokens are cut out of every text before it reaches an error or a log."""

from __future__ import annotations

import logging
import os
import re
from typing import Final
from urllib.parse import quote, quote_plus

TOKEN_VARIABLE: Final = "DVID_TOKEN"  # noqa: S105 - the name of the variable, not its value
ADMIN_VARIABLE: Final = "DVID_ADMIN_TOKEN"

_SHOWN: Final = "***"
_PATTERNS: Final = (
    (re.compile(r"(?i)(admintoken=)[^&\s'\")]*"), rf"\1{_SHOWN}"),
    (re.compile(r"(?i)(bearer\s+)[^\s'\",)]+"), rf"\1{_SHOWN}"),
    (re.compile(r"(//)[^/@\s]+@"), rf"\1{_SHOWN}@"),
)


def bearer_token() -> str:
    """The token of the environment variable DVID_TOKEN, empty if there is none."""
    return os.environ.get(TOKEN_VARIABLE, "").strip()


def admin_token() -> str:
    """The token of the environment variable DVID_ADMIN_TOKEN, empty if there is none."""
    return os.environ.get(ADMIN_VARIABLE, "").strip()


def redacted(text: str) -> str:
    """A text without our tokens, however they are quoted, without any `admintoken=`, and without passwords in URLs."""
    for secret in (bearer_token(), admin_token()):
        if secret:
            for form in {secret, quote(secret, safe=""), quote_plus(secret), quote(secret)}:
                text = text.replace(form, _SHOWN)
    for pattern, replacement in _PATTERNS:
        text = pattern.sub(replacement, text)
    return text


class _RedactingFilter(logging.Filter):
    """Rewrites a log record whose text holds a secret."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Always True: the line is kept, without the secret."""
        text = record.getMessage()
        if (shown := redacted(text)) != text:
            record.msg, record.args = shown, None
        return True


_FILTER: Final = _RedactingFilter()


def guard_library_logs() -> None:
    """Let urllib3, which logs the URLs that it asks for, log them without secrets."""
    for name in ("urllib3.connectionpool", "urllib3.util.retry"):
        logging.getLogger(name).addFilter(_FILTER)  # the second time it does nothing
