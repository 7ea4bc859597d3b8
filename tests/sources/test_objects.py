"""Finished files are copied to a store, checked there, and refusals are told as the store's."""

import sys

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from flyem_snapshot.engine.outdir import OutputDir
from flyem_snapshot.errors import ServiceError, SnapshotError
from flyem_snapshot.sources.objects import upload


@pytest.fixture
def out(tmp_path):
    """Two files to upload, and one of another stage."""
    directory = OutputDir(tmp_path / "out")
    directory.write_text("flat-connectome/a-v1.feather", "content of a")
    directory.write_text("flat-connectome/more/b-v1.feather", "b")
    directory.write_text("tables/c.csv", "c")
    return directory


@pytest.fixture(autouse=True)
def memory():
    """The store memory://, emptied."""
    store = fsspec.filesystem("memory")
    store.store.clear()
    yield store
    store.store.clear()


def test_files_of_the_stage_are_copied_below_the_tag(out, memory):
    upload(out, "flat-connectome/", "memory://bucket/releases", "v1")

    assert {path: memory.cat(path).decode() for path in memory.find("/bucket")} == {
        "/bucket/releases/v1/a-v1.feather": "content of a",
        "/bucket/releases/v1/more/b-v1.feather": "b",
    }


def test_a_slash_at_the_end_means_nothing(out, memory):
    upload(out, "flat-connectome/", "memory://bucket/", "v1")

    assert memory.exists("/bucket/v1/a-v1.feather")


def test_a_directory_is_a_store_too(out, tmp_path):
    upload(out, "flat-connectome/", f"file://{tmp_path}/store", "v1")

    assert (tmp_path / "store" / "v1" / "a-v1.feather").read_text() == "content of a"
    assert (tmp_path / "store" / "v1" / "more" / "b-v1.feather").read_text() == "b"


def test_files_there_are_replaced(out, memory):
    memory.pipe("/bucket/v1/a-v1.feather", b"an older and longer content")

    upload(out, "flat-connectome/", "memory://bucket", "v1")

    assert memory.cat("/bucket/v1/a-v1.feather") == b"content of a"


def test_an_unknown_store_is_the_users_to_mend(out):
    with pytest.raises(SnapshotError, match=r"nothing is known of a store ftpx://"):
        upload(out, "flat-connectome/", "ftpx://bucket", "v1")


@pytest.mark.parametrize("bucket", ["my-bucket/releases", "gs://my-bucket"])
def test_a_bucket_is_one_of_google_and_its_library_is_named_if_it_is_not_there(out, bucket, monkeypatch):
    monkeypatch.setitem(sys.modules, "gcsfs", None)

    with pytest.raises(SnapshotError, match=r"uploading to gs:// needs a library that is not installed") as caught:
        upload(out, "flat-connectome/", bucket, "v1")

    assert "flyem-snapshot[gcs]" in caught.value.hint


class Refusing(MemoryFileSystem):
    """A store that takes nothing, or loses the end of what it takes."""

    protocol = "refusing"
    cachable = False
    fault: Exception | None = None

    @classmethod
    def _strip_protocol(cls, path):
        return super()._strip_protocol(path.removeprefix("refusing://"))

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        if "connect" in str(self.fault):
            raise self.fault

    def put_file(self, lpath, rpath, **kwargs):
        if self.fault:
            raise self.fault
        self.pipe(rpath, b"cut")


@pytest.fixture
def refusing(monkeypatch):
    """Register the store under refusing://; its fault is set by the test."""
    fsspec.register_implementation("refusing", Refusing, clobber=True)
    monkeypatch.setattr(Refusing, "fault", None)
    return lambda fault: monkeypatch.setattr(Refusing, "fault", fault)


class DriversOwnError(Exception):
    """Drivers raise whatever their HTTP or sign-in library does, such as google.auth's errors."""


@pytest.mark.parametrize(
    "fault",
    [
        PermissionError("403 Forbidden"),
        FileNotFoundError("no such bucket"),
        OSError("connection reset"),
        ValueError("bad bucket name"),
        DriversOwnError("no credentials"),
        DriversOwnError("cannot connect"),
    ],
    ids=str,
)
def test_a_store_that_refuses(out, refusing, fault):
    refusing(fault)

    with pytest.raises(ServiceError) as caught:
        upload(out, "flat-connectome/", "refusing://bucket", "v1")

    assert str(fault) in str(caught.value)
    assert caught.value.method == "PUT"
    assert caught.value.url.startswith("refusing://")
    assert "bucket" in caught.value.url
    assert "permissions" in caught.value.hint
    assert caught.value.__cause__ is fault


def test_a_file_that_did_not_arrive_whole(out, refusing):
    with pytest.raises(ServiceError, match=r"PUT refusing:///bucket/v1/a-v1.feather: 3 bytes arrived of 12"):
        upload(out, "flat-connectome/", "refusing://bucket", "v1")
