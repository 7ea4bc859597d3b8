"""Names with brackets on their way through the importer of Neo4j 5.26."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyem_snapshot.errors import DataError
from flyem_snapshot.neo4j.headers import NAMES_STORE, disguise_for, restore_names, write_header

PAGE, RECORD, TEXT = 8192, 38, 30


def csv(path, *cells):
    path.write_text(",".join(cells) + "\n")
    return path


def store(names):
    """A list of names as Neo4j writes it: a record of 38 bytes for each 30 bytes of a name, none across two pages."""
    a_page = PAGE // RECORD
    records = [b"\0\0\0\x26" + bytes(RECORD - 4)]
    for name in names:
        parts = [name.encode()[at : at + TEXT] for at in range(0, len(name.encode()), TEXT)]
        for number, part in enumerate(parts):
            more = len(records) + 1 if number + 1 < len(parts) else 0xFFFFFFFF
            flags = 0x10 | (0x80 if number else 0)
            records.append(
                bytes([flags]) + len(part).to_bytes(3, "big") + more.to_bytes(4, "big") + part.ljust(TEXT, b"\0")
            )
    pages = [b"".join(records[at : at + a_page]).ljust(PAGE, b"\0") for at in range(0, len(records), a_page)]
    return b"".join(pages)


def test_only_names_are_disguised_not_types_and_ids(tmp_path):
    file = csv(tmp_path / "a.csv", ":ID(Body-ID)", "ME(R):boolean", "location:point{srid:9157}", "type:string")
    disguise = disguise_for([file])

    assert write_header(file, disguise, tmp_path / "header.csv")
    assert (tmp_path / "header.csv").read_text() == ":ID(Body-ID),ME~R^:boolean,location:point{srid:9157},type:string\n"


def test_stand_ins_are_characters_that_no_name_has(tmp_path):
    disguise = disguise_for([csv(tmp_path / "a.csv", "a(~):int"), csv(tmp_path / "b.csv", "b^:int")])

    assert disguise.put_on("a(~):int") == "a|~%:int"


def test_files_without_such_names_keep_their_headers(tmp_path):
    plain = csv(tmp_path / "a.csv", ":ID(Body-ID)", "type:string")
    assert disguise_for([plain]) is None
    disguise = disguise_for([plain, csv(tmp_path / "b.csv", "ME(R):boolean")])
    assert not write_header(plain, disguise, tmp_path / "header.csv")
    assert not (tmp_path / "header.csv").exists()


@pytest.mark.parametrize("name", ["ME(R", "ME)R(", "ME}", "a(b}c"])
def test_a_bracket_that_is_not_closed_is_refused(tmp_path, name):
    with pytest.raises(DataError, match="brackets are not closed"):
        disguise_for([csv(tmp_path / "a.csv", f"{name}:boolean")])


name = st.text("abcß' ()", min_size=1, max_size=80).map(lambda text: f"({text.strip()})")


@given(st.sets(name, min_size=1, max_size=300), st.sets(st.text("xyz", min_size=1, max_size=70), max_size=20))
def test_names_of_any_length_are_restored_and_no_other_byte_is_touched(tmp_path_factory, names, plain):
    folder = tmp_path_factory.mktemp("store")
    disguise = disguise_for([csv(folder / "a.csv", *(f"{name}:int" for name in (*names, *plain)))])
    hidden = [disguise.put_on(name) for name in sorted(names)]
    (folder / NAMES_STORE).write_bytes(store([*hidden, *sorted(plain)]))

    assert restore_names(folder, disguise) == names
    assert (folder / NAMES_STORE).read_bytes() == store([*sorted(names), *sorted(plain)])


def test_another_form_of_store_is_refused_and_not_touched(tmp_path):
    disguise = disguise_for([csv(tmp_path / "a.csv", "ME(R):boolean")])
    with pytest.raises(DataError, match="wrote no such file"):
        restore_names(tmp_path, disguise)
    (tmp_path / NAMES_STORE).write_bytes(bytes(PAGE))
    with pytest.raises(DataError, match="not in the format that Neo4j 5.26 Community writes"):
        restore_names(tmp_path, disguise)
    (tmp_path / NAMES_STORE).write_bytes(store(["another~name^"]))
    with pytest.raises(DataError, match="not those of the CSV files"):
        restore_names(tmp_path, disguise)
    assert (tmp_path / NAMES_STORE).read_bytes() == store(["another~name^"])
