"""The comparison of a real neuPrint export with the oracle finds every kind of difference, and nothing else."""

import gzip
from pathlib import Path

import pytest

from tests.neuprint_tiny import WITH_ELEMENTS, element_id
from tests.oracle.neuprint import Export
from tests.oracle.neuprint_compare import differences
from tests.oracle.neuprint_read import read_csvs
from tests.oracle.test_oracle_neuprint import made


def header(name: str, kind: str) -> str:
    if name.startswith(":"):
        return f"{name}({kind})" if kind else name
    return f"{name}:{kind}"


def written(folder: Path, result: Export) -> Path:
    """The sheets as an export of one file a kind; Meta and the intermediate tables are left out."""
    for kind, sheet in result.sheets.items():
        path = folder / f"{kind}.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        header = {
            c: c + f"({t[0]})" * bool(t[0]) if c.startswith(":") else f"{c}:{t[0]}" for c, t in sheet.types.items()
        }
        sheet.rows.rename(columns=header).to_csv(path, index=False)
    return folder


def found(folder: Path, result: Export) -> list[str]:
    """Differences but those of files that `written` leaves out."""
    return [d for d in differences(folder, result) if "Meta" not in d and "no such file" not in d]


def test_equal_files_have_no_difference_whatever_their_order_and_grouping(tmp_path):
    result = made(tmp_path / "in", **WITH_ELEMENTS)
    folder = written(tmp_path / "out", result)
    assert found(folder, result) == []
    lines = (folder / "Neuprint_Synapses.csv").read_text().splitlines(keepends=True)
    (folder / "Neuprint_Synapses.csv").unlink()
    (folder / "Neuprint_Synapses").mkdir()
    (folder / "Neuprint_Synapses" / "000000.csv").write_text("".join(lines[:1] + lines[:5:-1]))
    (folder / "Neuprint_Synapses" / "000001.csv.gz").write_bytes(gzip.compress("".join(lines[:6]).encode()))
    assert found(folder, result) == []


@pytest.mark.parametrize(
    ("kind", "old", "new", "said"),
    [
        ("Neuprint_Neurons", "KC_R", "KC_L", "Neuprint_Neurons: instance differs in 1 of 7 rows, first :ID=11: found"),
        ("Neuprint_Neurons", "statusLabel:string", "statusLabel:int", "statusLabel has type 'int' instead of 'string'"),
        ("Neuprint_Neurons", "post:int,pre:int", "pre:int,post:int", "has columns in the order"),
        ("Neuprint_Neurons", '""post"":1,""pre"":1', '""pre"":1,""post"":1', "roiInfo differs in 1 of 7"),
        ("Neuprint_Neurons", "bodyId:long", "bodyid:long", "property bodyId is missing"),
        ("Neuprint_Synapses", "0.7", "0.71", "confidence differs in 1 of 17 rows"),
        ("Neuprint_Synapse_Connections", element_id(101), element_id(102), "1 keys missing"),
        ("Neuprint_Synapses", ",linker,", ',"",', "compartment differs"),
        ("Neuprint_Synapses", ",linker,", ',"",', "an empty text instead of no value"),
    ],
)
def test_a_difference_is_found_and_named(tmp_path, kind, old, new, said):
    result = made(tmp_path / "in", **WITH_ELEMENTS)
    path = written(tmp_path / "out", result) / f"{kind}.csv"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    assert any(said in d for d in found(tmp_path / "out", result)), found(tmp_path / "out", result)


def test_equal_values_in_another_notation_are_equal(tmp_path):
    result = made(tmp_path / "in")
    folder = written(tmp_path / "out", result)
    text = (folder / "Neuprint_Synapses.csv").read_text()
    (folder / "Neuprint_Synapses.csv").write_text(text.replace("0.7,", "0.70000,").replace("y:10, z", "y:10,z"))
    segment = folder / "Neuprint_Neurons.csv"
    segment.write_text(segment.read_text().replace('O\'Brien (L)""', 'O\'Brien\\u0020(L)""'))
    assert found(folder, result) == []
    assert set(read_csvs(folder)) == set(result.sheets)
