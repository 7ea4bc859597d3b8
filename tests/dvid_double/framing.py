"""The frames in which many values travel: protobuf, tar, JSON.

Keys      : repeated string = 1
KeyValue  : string key = 1, bytes value = 2
KeyValues : repeated KeyValue = 1
"""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterable, Iterator

from tests.dvid_double.replies import Refusal

Pairs = Iterable[tuple[str, bytes]]


def varint(value: int) -> bytes:
    """Seven bits a byte, low ones first; the high bit says that more follows."""
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def read_varint(data: bytes, at: int) -> tuple[int, int]:
    """A varint and the position after it."""
    value = shift = 0
    while True:
        if at >= len(data):
            raise Refusal("proto: unexpected end of message")
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at


def fields(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The length-delimited fields of a message, by number; others are skipped."""
    at = 0
    while at < len(data):
        tag, at = read_varint(data, at)
        match tag & 7:
            case 0:
                _, at = read_varint(data, at)
            case 1:
                at += 8
            case 2:
                size, at = read_varint(data, at)
                if at + size > len(data):
                    raise Refusal("proto: unexpected end of message")
                yield tag >> 3, data[at : at + size]
                at += size
            case 5:
                at += 4
            case _:
                raise Refusal("proto: illegal wire type")


def delimited(number: int, data: bytes) -> bytes:
    """A length-delimited field."""
    return varint(number << 3 | 2) + varint(len(data)) + data


def keys_of(data: bytes) -> list[str]:
    """The keys of a `Keys` message."""
    return [value.decode() for number, value in fields(data) if number == 1]


def pairs_of(data: bytes) -> list[tuple[str, bytes]]:
    """The pairs of a `KeyValues` message; an absent field is empty."""
    messages = [dict(fields(value)) for number, value in fields(data) if number == 1]
    return [(message.get(1, b"").decode(), message.get(2, b"")) for message in messages]


def keys_message(keys: Iterable[str]) -> bytes:
    """A `Keys` message."""
    return b"".join(delimited(1, key.encode()) for key in keys)


def pairs_message(pairs: Pairs) -> bytes:
    """A `KeyValues` message; an empty value is left out of it, as proto3 does."""
    return b"".join(
        delimited(1, delimited(1, key.encode()) + (delimited(2, value) if value else b"")) for key, value in pairs
    )


def tar_stream(pairs: Pairs) -> Iterator[bytes]:
    """An uncompressed tar, member by member, with its two zero blocks at the end."""
    for key, value in pairs:
        info = tarfile.TarInfo(key)
        info.size = len(value)
        header = info.tobuf(tarfile.PAX_FORMAT)
        yield header + value + bytes(-len(value) % 512)
    yield bytes(1024)


def read_tar(data: bytes) -> list[tuple[str, bytes]]:
    """The members of a tar."""
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return [(member.name, tar.extractfile(member).read()) for member in tar]  # type: ignore[union-attr]


def json_stream(pairs: Pairs, *, valid: bool = True) -> Iterator[bytes]:
    """One object whose values are spliced in as they are; `{}` for an empty one.

    Before dvid#356 was mended the last brace was missing and a comma stood in its place.
    """
    yield b"{"
    comma = b""
    for key, value in pairs:
        yield comma + json.dumps(key).encode() + b":" + (value or b"{}")
        comma = b","
    yield b"}" if valid else b","
