"""The protobuf messages of DVID's key-value stores."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyem_snapshot.sources.dvid.http import Incomplete
from flyem_snapshot.sources.dvid.protobuf import decode_keys, decode_keyvalues, encode_keys, encode_keyvalues
from tests.dvid_double import framing

PAIRS = st.lists(st.tuples(st.text(st.characters(exclude_categories=["Cs"])), st.binary(max_size=300)))


def test_keys_are_length_and_text_under_field_1():
    assert encode_keys(["12", "é", ""]) == b"\x0a\x0212" + b"\x0a\x02\xc3\xa9" + b"\x0a\x00"
    assert encode_keys([]) == b""


def test_a_pair_is_a_message_within_the_message():
    assert encode_keyvalues([("7", b"ab")]) == b"\x0a\x07" + b"\x0a\x017" + b"\x12\x02ab"


def test_a_long_value_takes_a_length_of_several_bytes():
    # 300 is 0b10_0101100: the low seven bits come first.
    message = encode_keyvalues([("", bytes(300))])
    assert message[:8] == b"\x0a\xb1\x02" + b"\x0a\x00" + b"\x12\xac\x02"
    assert decode_keyvalues(message) == [("", bytes(300))]


def test_an_absent_field_is_empty():
    assert decode_keyvalues(b"\x0a\x03\x0a\x017" + b"\x0a\x00") == [("7", b""), ("", b"")]


def test_unknown_fields_are_skipped_by_their_kind():
    unknown = b"\x18\x96\x01" + b"\x21" + bytes(8) + b"\x2a\x03abc" + b"\x35" + bytes(4)
    inner = unknown + b"\x0a\x017" + unknown + b"\x12\x01v" + unknown
    message = unknown + b"\x0a" + bytes([len(inner)]) + inner + unknown
    assert decode_keyvalues(message) == [("7", b"v")]


@given(PAIRS)
def test_messages_survive_the_way_there_and_back(pairs):
    assert decode_keyvalues(encode_keyvalues(pairs)) == pairs
    assert decode_keys(encode_keys([key for key, _ in pairs])) == [key for key, _ in pairs]


@given(PAIRS)
def test_another_reader_and_writer_agree(pairs):
    assert framing.pairs_of(encode_keyvalues(pairs)) == pairs
    assert decode_keyvalues(framing.pairs_message(pairs)) == pairs


@given(PAIRS.filter(bool), st.data())
def test_a_message_that_is_cut_anywhere_but_between_pairs_is_incomplete(pairs, data):
    message = encode_keyvalues(pairs)
    ends = {len(encode_keyvalues(pairs[:count])) for count in range(len(pairs) + 1)}
    cuts = [cut for cut in range(len(message)) if cut not in ends]
    with pytest.raises(Incomplete):
        decode_keyvalues(message[: data.draw(st.sampled_from(cuts))])


@pytest.mark.parametrize(
    "message",
    [
        b"\x0b",  # a group, which proto3 has not
        b"\x0a\x80",  # a length without end
        b"\x0a" + b"\xff" * 12,  # a length beyond 64 bits
        b"\x21\x00\x00",  # 8 bytes of which 2 are there
        b"\x0a\x03\x0a\x01\xff",  # a key that is no text
        b"\x0a\x00Error: disk on fire",
    ],
)
def test_nonsense_is_incomplete(message):
    with pytest.raises(Incomplete):
        decode_keyvalues(message)
