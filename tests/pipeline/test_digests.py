"""Input files are known by their content, which is read once."""

from __future__ import annotations

import os
import time

import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st

from flyem_snapshot.errors import DataError
from flyem_snapshot.pipeline.digests import FileDigests
from flyem_snapshot.pipeline.records import digest_of

OLD = time.time() - 1000


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "data"
    path.write_bytes(b"content")
    os.utime(path, (OLD, OLD))
    return path


def test_the_identity_is_the_digest_of_the_content(file, tmp_path):
    assert FileDigests(tmp_path / "memory").identify(file).digest == xxhash.xxh3_128_hexdigest(b"content")


def test_an_empty_file_has_an_identity(tmp_path):
    (tmp_path / "empty").touch()
    assert FileDigests(tmp_path / "memory").identify(tmp_path / "empty").digest == xxhash.xxh3_128_hexdigest(b"")


def test_a_remembered_file_is_not_read_again_until_it_changes(file, tmp_path):
    first = FileDigests(tmp_path / "memory")
    known = first.identify(file)
    first.save()

    # The same size and time stamps: only reading it would show the difference.
    file.write_bytes(b"CONTENT")
    os.utime(file, (OLD, OLD))
    assert FileDigests(tmp_path / "memory").identify(file) == known

    os.utime(file, (OLD + 1, OLD + 1))
    assert FileDigests(tmp_path / "memory").identify(file).digest == xxhash.xxh3_128_hexdigest(b"CONTENT")


def test_a_file_that_was_modified_just_now_is_not_remembered(file, tmp_path):
    file.touch()
    digests = FileDigests(tmp_path / "memory")
    digests.identify(file)
    digests.save()
    assert (tmp_path / "memory").read_text() == "{}"


def test_a_changed_file_is_noticed(file, tmp_path):
    digests = FileDigests(tmp_path / "memory")
    digests.identify(file)
    digests.require_unchanged(file)
    file.write_bytes(b"longer content")
    with pytest.raises(DataError, match="was changed while it was being read"):
        digests.require_unchanged(file)


def test_what_is_not_a_readable_file_is_a_data_error(tmp_path):
    with pytest.raises(DataError, match="cannot be read: No such file"):
        FileDigests(tmp_path / "memory").identify(tmp_path / "missing")
    with pytest.raises(DataError, match="is not a file"):
        FileDigests(tmp_path / "memory").identify(tmp_path)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(st.dictionaries(st.text(), json_values))
def test_the_digest_of_a_document_does_not_depend_on_the_order_of_its_keys(document):
    assert digest_of(document) == digest_of(dict(reversed(document.items())))


@pytest.mark.parametrize(
    ("a", "b"), [("1", 1), (["a", "b"], ["ab"]), ({"a": 1}, {"b": 1}), (None, ""), ([], {}), (1, True)]
)
def test_different_documents_have_different_digests(a, b):
    assert digest_of({"x": a}) != digest_of({"x": b})
