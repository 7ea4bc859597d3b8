"""The two forms in which a server sends the mapping of supervoxels to bodies, and how to tell that it is whole."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from flyem_snapshot.sources.dvid.failures import Incomplete

Pairs = NDArray[np.uint64]

_PROBE: Final = 64
_PIECE: Final = 1 << 20
_TEXT: Final = b"0123456789 \n"
_PRINTABLE: Final = bytes(range(32, 127)) + b"\t\r\n"


def pairs_of(chunks: Iterable[bytes]) -> Iterator[Pairs]:
    """The pairs (supervoxel, body) of an answer, in arrays of shape (M, 2) of about 1 MB; nothing if it is empty.

    An old server sends lines of text although the binary form (two little-endian uint64 a pair) is asked for, so the
    first bytes decide: among binary ids below 2**56 there are always zeros.
    Raises Incomplete if the answer does not end with a whole pair, or ends with words.
    """
    decode: Callable[[bytes], tuple[Pairs, bytes]] | None = None
    rest = b""
    tail = b""
    for piece in _pieces(chunks):
        if decode is None:
            decode = _text if not piece[:_PROBE].translate(None, _TEXT) else _binary
        tail = piece[-16:]
        pairs, rest = decode(rest + piece)
        if len(pairs):
            yield pairs
    if rest:
        raise Incomplete(f"the mapping does not end with a whole entry, but with {rest[-80:]!r}")
    if decode is _binary and not tail.translate(None, _PRINTABLE):
        # An error's text may by chance be as long as whole entries; no id is made of printable characters only.
        raise Incomplete(f"the mapping ends with words: {tail!r}")


def _pieces(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes in pieces that are worth decoding, the first of at least 64 bytes if there are so many."""
    waiting: list[bytes] = []
    size = 0
    for chunk in chunks:
        waiting.append(chunk)
        size += len(chunk)
        if size >= _PIECE:
            yield b"".join(waiting)
            waiting, size = [], 0
    if size:
        yield b"".join(waiting)


def _binary(content: bytes) -> tuple[Pairs, bytes]:
    whole = len(content) // 16 * 16
    pairs = np.frombuffer(content[:whole], "<u8").astype(np.uint64, copy=False).reshape(-1, 2)
    return pairs, content[whole:]


def _text(content: bytes) -> tuple[Pairs, bytes]:
    whole = content.rfind(b"\n") + 1
    lines = content[:whole]
    words = lines.split()
    if lines.translate(None, _TEXT) or len(words) != 2 * lines.count(b"\n"):
        raise Incomplete(f"lines of two ids were expected, not {lines[-80:]!r}")
    try:
        pairs = np.array(list(map(int, words)), np.uint64).reshape(-1, 2)
    except (ValueError, OverflowError) as error:
        raise Incomplete(f"an id is no uint64: {error}") from error
    return pairs, content[whole:]
