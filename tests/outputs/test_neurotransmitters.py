"""The neurotransmitter tables hold what the stage before them found, in their documented columns and order."""

import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import feather

from tests import tiny
from tests.running import run, run_snapshot, tree
from tests.tiny import BIG, ME, NAN, ORIGIN, UN, A, B, C, F
from tests.writing import write_table

NT, EXPORT = "inputs.neurotransmitters.", "outputs.neurotransmitters."
TBAR_FILE, BODY_FILE = "nt/tbar-neurotransmitters-tiny.feather", "nt/body-neurotransmitters-tiny.feather"

# x of the T-bar, gaba, acetylcholine, split; 300 has no prediction, 500 is left out of the snapshot
PREDICTIONS = [
    (400, 0.9, 0.1, "test"),
    (200, 0.3, 0.7, "test"),
    (100, 0.8, 0.2, "train"),
    (-800, NAN, 0.25, None),
    (500, 0.5, 0.5, "test"),
]


def predictions():
    rows = [(x, 10, 1, *rest) for x, *rest in PREDICTIONS]
    return tiny.frame("x y z nts_8.gaba nts_8.ach split", rows, x="int32", y="int32", z="int32").astype(
        {"nts_8.gaba": "float32", "nts_8.ach": "float32"}
    )


def write(folder, truth="", **overrides):
    settings = {f"{NT}synister-feather": "predictions.feather", f"{EXPORT}export-neurotransmitters": True}
    config = tiny.write(folder, **{**settings, **overrides})
    predictions().to_feather(folder / "predictions.feather")
    (folder / "truth.csv").write_text(truth)
    return config


TRUTH = "cell_type,ground_truth\nTm1,acetylcholine\nKC,gaba\n"
WITH_TRUTH = {
    "truth": TRUTH,
    f"{NT}ground-truth": "truth.csv",
    f"{NT}min-body-presyn": 1,
    f"{NT}min-celltype-presyn": 1,
}


def cells(frame):
    """Rows with None for what is missing, fractions rounded."""
    return [
        tuple(None if pd.isna(v) else round(v, 5) if isinstance(v, float) else v for v in row)
        for row in frame.astype(object).to_numpy().tolist()
    ]


def test_the_table_of_tbars_has_every_tbar_in_the_order_of_the_synapses(tmp_path):
    out = run_snapshot(write(tmp_path, **{f"{EXPORT}roi-sets": ["primary"]}))

    table = feather.read_table(out / TBAR_FILE)
    assert [(f.name, str(f.type)) for f in table.schema] == [
        ("point_id", "uint64"),
        ("x", "int32"),
        ("y", "int32"),
        ("z", "int32"),
        ("conf", "float"),
        ("body", "int64"),
        ("primary", "dictionary<values=string, indices=int8, ordered=0>"),
        ("nt_gaba_prob", "float"),
        ("nt_acetylcholine_prob", "float"),
        ("split", "dictionary<values=string, indices=int8, ordered=0>"),
    ]
    assert cells(table.to_pandas()) == [
        (ORIGIN + 100, 100, 10, 1, 0.9, A, ME, 0.8, 0.2, "train"),
        (ORIGIN + 200, 200, 10, 1, 0.8, B, UN, 0.3, 0.7, "test"),
        (ORIGIN + 300, 300, 10, 1, 0.9, C, tiny.OB, None, None, None),
        (ORIGIN + 400, 400, 10, 1, 0.95, BIG, ME, 0.9, 0.1, "test"),
        (ORIGIN + 2096352, -800, 10, 1, 0.5, F, UN, None, 0.25, None),
    ]


def test_the_table_of_bodies_has_the_body_first(tmp_path):
    out = run_snapshot(write(tmp_path))

    table = feather.read_table(out / BODY_FILE)
    assert cells(table.to_pandas()) == [
        (A, "KC", 1, "gaba", 1, "gaba"),
        (B, "Tm1", 1, "acetylcholine", 1, "acetylcholine"),
        (C, None, 0, "unclear", 0, None),
        (tiny.E, "x", 0, "unclear", 0, "unclear"),
        (F, None, 1, "acetylcholine", 1, None),
        (BIG, None, 1, "gaba", 1, None),
    ]
    assert table.column_names[:3] == ["body", "cell_type", "total_nt_predictions"]
    assert [str(table.schema.field(name).type) for name in table.column_names[:3]] == ["int64", "large_string", "int32"]
    assert not (out / "nt" / "neurotransmitter-confusion.csv").exists()


def test_the_confusion_matrix_is_written_with_ground_truth_only(tmp_path):
    out = run_snapshot(write(tmp_path, **WITH_TRUTH))

    # KC is of body A, whose T-bar was trained on.
    text = (out / "nt" / "neurotransmitter-confusion.csv").read_text()
    assert text == "ground_truth,gaba,acetylcholine\ngaba,0.0,0.0\nacetylcholine,0.0,1.0\n"
    table = feather.read_table(out / BODY_FILE).to_pandas().set_index("body")
    assert table["predicted_nt"].to_dict() == {
        **dict.fromkeys([A, C, tiny.E, BIG], "unclear"),
        **dict.fromkeys([B, F], "acetylcholine"),
    }
    assert table.loc[B, "ground_truth"] == "acetylcholine"
    assert not (out / "nt_multi_split_bodies.csv").exists()


def test_a_restricted_export_has_whole_bodies_and_the_same_numbers(tmp_path):
    everything = run_snapshot(write(tmp_path / "all"))
    out = run_snapshot(write(tmp_path / "some", **{f"{EXPORT}restrict-export": "layer"}))

    all_bodies = feather.read_table(everything / BODY_FILE).to_pandas()
    bodies = feather.read_table(out / BODY_FILE).to_pandas()
    # B has PSDs in the layers, its T-bar lies outside.
    assert bodies["body"].tolist() == [A, B, F, BIG]
    pd.testing.assert_frame_equal(bodies, all_bodies[all_bodies["body"].isin(bodies["body"])].reset_index(drop=True))
    assert feather.read_table(out / TBAR_FILE)["body"].to_pylist() == [A, B, BIG, F]


def test_two_runs_write_the_same_bytes_and_a_second_one_does_nothing(tmp_path):
    first = run_snapshot(write(tmp_path / "a", **WITH_TRUTH))
    second = run_snapshot(write(tmp_path / "b", **WITH_TRUTH))
    plan = run("-c", tmp_path / "a" / "config.yaml", "--plan").stdout

    files = {name: content for name, content in tree(first).items() if name.startswith("nt")}
    assert files
    assert files == {name: content for name, content in tree(second).items() if name.startswith("nt")}
    assert [line.split()[1] for line in plan.splitlines() if line.startswith("outputs.neurotransmitters")] == ["reuse"]


def test_the_export_needs_predictions(tmp_path):
    config = tiny.write(tmp_path, **{f"{EXPORT}export-neurotransmitters": True})

    finished = run("-c", config)

    assert finished.returncode == 2
    assert "there are no neurotransmitters: inputs.neurotransmitters.synister-feather is not set" in finished.stderr


@pytest.mark.parametrize("suffix", ["parquet", "csv"])
def test_predictions_may_come_in_any_format(tmp_path, suffix):
    expected = run_snapshot(write(tmp_path / "feather"))
    config = write(tmp_path / suffix, **{f"{NT}synister-feather": f"predictions.{suffix}"})
    write_table(pa.Table.from_pandas(predictions(), preserve_index=False), tmp_path / suffix / f"predictions.{suffix}")
    found = run_snapshot(config)

    for name in (TBAR_FILE, BODY_FILE):
        assert (found / name).read_bytes() == (expected / name).read_bytes()
