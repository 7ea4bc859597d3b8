"""The token comes from a private file or the environment, is well formed, and appears in no message."""

from __future__ import annotations

import pytest

from flyem_snapshot.bridge.tokens import VARIABLE, accepted, load_token, presented
from flyem_snapshot.errors import SnapshotError

SECRET = "s3cret-token_value"  # noqa: S105 - of nothing


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "token"
    path.write_text(f"{SECRET}\n")
    path.chmod(0o600)
    return path


def test_the_file_comes_before_the_environment(file):
    assert load_token(file, {VARIABLE: "another-token"}) == SECRET
    assert load_token(None, {VARIABLE: "another-token"}) == "another-token"
    assert load_token(None, {VARIABLE: ""}) is None
    assert load_token(None, {}) is None


@pytest.mark.parametrize("mode", [0o644, 0o660, 0o602])
def test_a_file_that_others_may_open_is_refused(file, mode):
    file.chmod(mode)
    with pytest.raises(SnapshotError, match="chmod 600"):
        load_token(file, {})


def test_a_missing_file_is_no_missing_token(tmp_path):
    with pytest.raises(SnapshotError, match="cannot be read"):
        load_token(tmp_path / "none", {})


@pytest.mark.parametrize("token", ["short", "has:a-colon-in", 'has"quotes"in', "has blanks in it", "ünïcödé-token"])
def test_a_token_that_clients_would_alter_is_refused_without_showing_it(token):
    with pytest.raises(SnapshotError) as caught:
        load_token(None, {VARIABLE: token})
    assert token not in str(caught.value)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (f"Bearer {SECRET}", SECRET),
        (f"bearer  {SECRET} ", SECRET),
        (SECRET, ""),
        (f"Basic {SECRET}", ""),
        (None, ""),
        ("", ""),
    ],
)
def test_the_header_shows_a_token(header, expected):
    assert presented(header) == expected


def test_only_the_whole_token_is_accepted():
    assert accepted(SECRET, SECRET)
    assert not any(accepted(token, SECRET) for token in ("", SECRET[:-1], SECRET + "x", SECRET.upper(), "\udcff\xe9"))
