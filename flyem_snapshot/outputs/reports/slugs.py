"""Names of reports and groups as names of files and folders."""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Sequence
from typing import Final

import xxhash

_UNSAFE: Final = frozenset('/\\:*?"<>|')
_MAX_BYTES: Final = 100
"""What leaves room for the rest of a file's name, the tag and the mark of an unfinished file: systems allow 255."""


def unique_slugs(names: Sequence[str], taken: Collection[str] = ()) -> list[str]:
    """A file name for each name, none of them twice, not even where upper and lower case are the same.

    Blanks become `-`, what no file name should hold becomes `_`, and a name that is too long is cut.  A name that would
    be the same as an earlier one, or as one that is taken, gets a number: `a-b-2`.
    """
    used = {_folded(name) for name in taken}
    slugs = []
    for name in names:
        slug, number = _slug(name), 1
        unique = slug
        while _folded(unique) in used:
            number += 1
            unique = f"{slug}-{number}"
        used.add(_folded(unique))
        slugs.append(unique)
    return slugs


def _slug(name: str) -> str:
    text = "".join(_safe(character) for character in unicodedata.normalize("NFC", name))
    # A leading dot hides a file, and `..` leads elsewhere; a leading dash looks like an option.
    text = "_" + text[1:] if text[:1] in (".", "-") else text
    if len(text.encode()) > _MAX_BYTES:
        digest = xxhash.xxh3_64_hexdigest(name.encode())[:8]
        text = f"{text.encode()[: _MAX_BYTES - 9].decode(errors='ignore')}-{digest}"
    return text or "_"


def _safe(character: str) -> str:
    if character.isspace():
        return "-"
    return character if character.isprintable() and character not in _UNSAFE else "_"


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name.casefold())
