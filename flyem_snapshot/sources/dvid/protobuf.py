"""The three protobuf messages of DVID's key-value stores: Keys, KeyValue and KeyValues.

    Keys       repeated field 1: a key (text)
    KeyValue   field 1: its key (text); field 2: its value (bytes); a field that is left out is empty
    KeyValues  repeated field 1: a KeyValue

That is all of protobuf we need, so there is no library for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from flyem_snapshot.sources.dvid.http import Incomplete

_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5
_FIXED: Final = {_FIXED64: 8, _FIXED32: 4}
_LONGEST_VARINT: Final = 10
"""Bytes: 64 bits at 7 bits a byte."""


def encode_keys(keys: Iterable[str]) -> bytes:
    """A Keys message."""
    return b"".join(_field(1, key.encode()) for key in keys)


def encode_keyvalues(pairs: Iterable[tuple[str, bytes]]) -> bytes:
    """A KeyValues message, in the order of the pairs."""
    return b"".join(_field(1, _field(1, key.encode()) + _field(2, value)) for key, value in pairs)


def decode_keys(message: bytes) -> list[str]:
    """The keys of a Keys message; raises Incomplete unless every byte of it makes sense."""
    return [_text(value) for number, value in _fields(memoryview(message)) if number == 1]


def decode_keyvalues(message: bytes) -> list[tuple[str, bytes]]:
    """The pairs of a KeyValues message in their order; raises Incomplete unless every byte of it makes sense.

    Unknown fields are skipped; of a field that is there twice the last one counts, as protobuf has it.
    """
    return [_keyvalue(value) for number, value in _fields(memoryview(message)) if number == 1]


def _keyvalue(message: memoryview) -> tuple[str, bytes]:
    key, content = "", b""
    for number, value in _fields(message):
        if number == 1:
            key = _text(value)
        elif number == 2:
            content = bytes(value)
    return key, content


def _text(value: memoryview) -> str:
    try:
        return str(value, "utf-8")
    except UnicodeDecodeError as error:
        raise Incomplete("a key of the protobuf message is not UTF-8") from error


def _field(number: int, value: bytes) -> bytes:
    return _varint(number << 3 | _LENGTH) + _varint(len(value)) + value


def _varint(value: int) -> bytes:
    groups = bytearray()
    while value > 0x7F:
        groups.append(value & 0x7F | 0x80)
        value >>= 7
    groups.append(value)
    return bytes(groups)


def _fields(message: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Number and content of every field that has a length; the others are skipped."""
    position = 0
    while position < len(message):
        tag, position = _read_varint(message, position)
        kind = tag & 7
        if kind == _VARINT:
            _, position = _read_varint(message, position)
            continue
        if kind == _LENGTH:
            length, position = _read_varint(message, position)
        elif kind in _FIXED:
            length = _FIXED[kind]
        else:
            raise Incomplete(f"byte {position:,} of the protobuf message begins a field of unknown kind {kind}")
        if position + length > len(message):
            raise Incomplete(f"the protobuf message ends within a field of {length:,} bytes")
        if kind == _LENGTH:
            yield tag >> 3, message[position : position + length]
        position += length


def _read_varint(message: memoryview, position: int) -> tuple[int, int]:
    """A number and the position behind it."""
    value = 0
    for count, byte in enumerate(message[position : position + _LONGEST_VARINT]):
        value |= (byte & 0x7F) << 7 * count
        if byte < 0x80:
            return value, position + count + 1
    raise Incomplete("the protobuf message ends within a number")
