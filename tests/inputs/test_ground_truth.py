"""Tables of known transmitters are read in every form in which they are published."""

import pytest

from flyem_snapshot.errors import DataError
from flyem_snapshot.inputs.neurotransmitters.ground_truth import read_known

FULL = "consensus_nt,nt_reference,other_nt,other_nt_reference"


def known(tmp_path, text, complete=False):
    path = tmp_path / "known.csv"
    path.write_text(text)
    return read_known(path, complete=complete)


@pytest.mark.parametrize("cell_type", ["cell_type", "type", "mcns_type"])
@pytest.mark.parametrize("value", ["consensusNt", "consensus_nt", "ground_truth"])
def test_cell_types_and_transmitters_have_several_names(tmp_path, cell_type, value):
    assert known(tmp_path, f"{value},{cell_type}\ngaba,A\nglutamate,B\n").transmitters == {
        "A": "gaba",
        "B": "glutamate",
    }


@pytest.mark.parametrize("header", [FULL, "consensusNt,ntReference,otherNt,otherNtReference"])
def test_further_columns_may_be_written_in_either_case(tmp_path, header):
    found = known(tmp_path, f'type,{header}\nA,gaba,"X, Y & Z",,b\nB,,,sNPF,\n').table

    assert list(found.columns) == FULL.split(",")
    assert found["nt_reference"].dropna().to_dict() == {"A": "X, Y & Z"}
    assert found["other_nt"].dropna().to_dict() == {"B": "sNPF"}
    assert found["consensus_nt"].dropna().to_dict() == {"A": "gaba"}


def test_only_columns_that_are_there_are_told(tmp_path):
    assert list(known(tmp_path, "type,consensus_nt,other_nt\nA,gaba,x\n").table.columns) == ["consensus_nt", "other_nt"]


def test_a_cell_type_that_looks_like_a_number_is_text(tmp_path):
    assert known(tmp_path, "type,consensus_nt\n12,gaba\n").transmitters == {"12": "gaba"}


def test_equal_rows_count_once(tmp_path):
    assert known(tmp_path, "type,consensus_nt\nA,gaba\nA,gaba\n").transmitters == {"A": "gaba"}


def test_gaps_in_experiments_say_nothing(tmp_path):
    found = known(tmp_path, "type,consensus_nt,other_nt\nA,,x\n,gaba,\nA,glutamate,\nB,,\nA,glutamate,x\n")

    assert found.transmitters == {"A": "glutamate"}
    assert found.table["other_nt"].dropna().to_dict() == {"A": "x"}
    assert found.left_out == {"without a cell type": 1}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name,ground_truth\nA,gaba\n", "there is no column of cell types (cell_type, type, mcns_type)"),
        ("type,nt\nA,gaba\n", "there is no column of transmitters"),
        ("type,ground_truth\nA,gaba\n,gaba\n", "column 'type': has no value (1 row); first: row 1: "),
        ("type,ground_truth\nA,gaba\nB,\n", "column 'ground_truth': has no value (1 row); first: row 1: B"),
        (
            "type,ground_truth\nB,gaba\nA,gaba\nA,ach\n",
            "'ground_truth': has different values in rows of one cell type (2 rows); first: row 1: A: gaba, row 2",
        ),
        ("type,gaba\nA,2\n", "column 'gaba': is neither 1 (has it), -1 (has it not) nor 0 (not known) (1 row)"),
    ],
)
def test_a_table_that_cannot_be_used_is_refused(tmp_path, text, message):
    with pytest.raises(DataError) as raised:
        known(tmp_path, text, complete=True)

    assert message in str(raised.value)
    assert raised.value.hint


def test_lists_of_verified_transmitters_are_understood(tmp_path):
    found = known(
        tmp_path,
        "type,neurotransmitter_verified,neurotransmitter_verified_source,neurotransmitter_verified_confidence\n"
        "A,gaba,old,2\n"
        'A,"glutamate-negative, acetylcholine, serotonin, nitric oxide",new,5\n'
        "A,glutamate,same,5\n"
        "B,gaba-negative,x,5\n"
        "C,dopamine,y,1\n"
        "B,octopamine,z,1\n",
    )

    assert found.transmitters == {"A": "acetylcholine", "C": "dopamine", "B": "octopamine"}
    assert found.table["other_nt"].dropna().to_dict() == {"A": "serotonin, nitric oxide"}
    assert found.table["nt_reference"].to_dict() == {"A": "new", "C": "y", "B": "z"}
    assert list(found.left_out.values()) == [0, 1, 2]


def test_a_column_for_each_transmitter_is_understood(tmp_path):
    found = known(tmp_path, "cell_type,glutamate,gaba,nitric_oxide\nA,-1,1,1\nB,0,-1,0\nC,1,,\n")

    assert found.transmitters == {"A": "gaba", "C": "glutamate"}
    assert found.table["other_nt"].dropna().to_dict() == {"A": "nitric oxide"}
    assert list(found.left_out.values()) == [0, 1, 0]


def test_the_published_tables_are_understood(shared):
    hemibrain = read_known(shared / "data" / "nt" / "202506-hemibrain_gt_data.csv", complete=True)
    species = read_known(shared / "data" / "nt" / "gt_data.csv", complete=True)

    assert hemibrain.transmitters["5-HTPMPD01"] == "serotonin"
    assert hemibrain.table.loc["5-HTPMPD01", "nt_reference"] == "Sitaraman et al., 2008"
    assert hemibrain.table.index.is_unique
    assert len(hemibrain.table) + sum(hemibrain.left_out.values()) == 31_366
    assert species.table.index.is_unique
    assert len(species.table) + sum(species.left_out.values()) == 6_107
    assert species.left_out["says only which transmitters a cell type does not have"] == 1_457
    assert set(species.transmitters.values()) <= {
        *("acetylcholine", "glutamate", "gaba", "glycine", "dopamine", "serotonin", "octopamine", "tyramine"),
        *("histamine", "nitric oxide"),
    }
