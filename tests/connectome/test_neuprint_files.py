"""Names of the files of a neuPrint folder, and what a header says."""

from __future__ import annotations

import gzip

import pytest

from flyem_snapshot.connectome import neuprint_files as files
from flyem_snapshot.errors import DataError


@pytest.mark.parametrize(
    ("cell", "name", "kind"),
    [
        ("post:int", "post", "int"),
        ("somaLocation:point{srid:9157}", "somaLocation", "point{srid:9157}"),
        (":ID(Body-ID)", ":ID", "ID(Body-ID)"),
        (":LABEL", ":LABEL", "LABEL"),
        ("ME(R):boolean", "ME(R)", "boolean"),
        ("bare", "bare", ""),
    ],
)
def test_a_header_cell_is_a_name_and_a_type(cell, name, kind):
    assert (files.property_name(cell), files.property_type(cell)) == (name, kind)


def test_flags_are_the_booleans_after_the_labels():
    header = [":ID(Element-ID)", "isGood:boolean", ":Label", "location:point{srid:9157}", "layer:int", "a, b:boolean"]

    assert files.flag_columns(header) == {5: "a, b"}
    assert files.flag_columns(["x:boolean"]) == {}


def test_unusual_characters_are_encoded_in_file_names():
    assert files.in_file_name("my mito/~ü") == "my%20mito%2F%7E%C3%BC"
    assert files.in_file_name("a.b_c-1") == "a.b_c-1"


def test_csv_files_are_found_plain_and_gzipped(tmp_path):
    for name in ("b.csv", "a.csv.gz", ".a.csv.partial-1", "c.txt"):
        (tmp_path / name).touch()

    assert [path.name for path in files.csv_files_in(tmp_path)] == ["a.csv.gz", "b.csv"]
    assert files.csv_files_in(tmp_path / "none") == []


def test_a_pattern_stands_for_every_table(tmp_path):
    for name in ("Neuprint_Elements_CloseTo_a.csv", "Neuprint_Elements_CloseTo_b.csv.gz", "Neuprint_Meta.csv"):
        (tmp_path / name).touch()

    assert len(files.csv_files_in(tmp_path, files.CLOSE_TO)) == 2


def test_a_header_with_odd_names_is_read(tmp_path):
    text = ':ID(x),"a ""b"", c:boolean"\n1,true\n'
    (tmp_path / "plain.csv").write_text(text)
    (tmp_path / "packed.csv.gz").write_bytes(gzip.compress(text.encode()))

    for name in ("plain.csv", "packed.csv.gz"):
        assert files.csv_header(tmp_path / name) == [":ID(x)", 'a "b", c:boolean']


@pytest.mark.parametrize(
    ("name", "content"), [("a.csv", b""), ("a.csv", b"\xff"), ("a.csv.gz", b"no"), ("a.csv", None)]
)
def test_a_file_without_header_is_an_error_that_names_it(tmp_path, name, content):
    if content is not None:
        (tmp_path / name).write_bytes(content)

    with pytest.raises(DataError, match=name):
        files.csv_header(tmp_path / name)
