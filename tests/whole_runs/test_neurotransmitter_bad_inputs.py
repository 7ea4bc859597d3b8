"""Bad predictions and bad ground truth, run by the command line program: one message, and nothing half-written.

Each case is the tiny connectome with predictions, and one thing wrong.  `{dir}` stands for its folder.
"""

from __future__ import annotations

import logging
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from flyem_snapshot.cli.main import main
from tests import tiny

NT, EXPORT = "inputs.neurotransmitters.", "outputs.neurotransmitters."
FILE = "{dir}/predictions.feather: "
COLUMNS = "x, y, z, nts_8.gaba, nts_8.ach, split"
NEEDS_PLACE = "the coordinates must be voxels of the synapses: look at inputs.neurotransmitters.rescale-coords"
PREDICTIONS = pd.DataFrame(
    {
        "x": [100, 200, 300],
        "y": 10,
        "z": 1,
        "nts_8.gaba": [0.75, 0.5, 0.25],
        "nts_8.ach": [0.25, 0.5, 0.75],
        "split": ["train", "test", None],
    }
)


@dataclass(frozen=True)
class Case:
    """One thing wrong, and all of stderr that is about it; `early` faults are found before any work."""

    name: str
    message: str
    early: bool = True
    code: int = 1
    predictions: pd.DataFrame | None = None
    truth: str = "cell_type,ground_truth\nKC,gaba\n"
    overrides: dict[str, Any] = field(default_factory=dict)

    def write(self, folder: Path) -> Path:
        """The config file of the case."""
        settings = {f"{NT}synister-feather": "predictions.feather", f"{EXPORT}export-neurotransmitters": True}
        config = tiny.write(folder, **{**settings, **self.overrides})
        (PREDICTIONS if self.predictions is None else self.predictions).to_feather(folder / "predictions.feather")
        (folder / "truth.csv").write_text(self.truth)
        return config

    def expected(self, folder: Path) -> str:
        """All of stderr."""
        note = "inputs.neurotransmitters failed; the stages before it are kept, and the same command resumes with it"
        return f"flyem-snapshot: {self.message.format(dir=folder)}\n" + ("" if self.early else f"  note: {note}\n")


GROUND_TRUTH = {f"{NT}ground-truth": "truth.csv"}
CASES = [
    Case(
        "no coordinates",
        FILE + "there are neither columns 'x', 'y', 'z' (or 'pre_x' ..., or 'x_pre' ...) nor a column 'point_id'\n"
        "  hint: its columns are: x, y, nts_8.gaba, nts_8.ach, split",
        predictions=PREDICTIONS.drop(columns="z"),
    ),
    Case(
        "no probabilities",
        FILE + "there is no column of probabilities: their names begin with 'nts' or 'nt_'\n"
        "  hint: its columns are: x, y, z, split",
        predictions=PREDICTIONS[["x", "y", "z", "split"]],
    ),
    Case(
        "two columns of one transmitter",
        FILE + "columns 'nts_8.ach' and 'nt_acetylcholine_prob' are both of 'acetylcholine'\n"
        "  hint: remove one of them, or give them different names with inputs.neurotransmitters.translate-names",
        predictions=PREDICTIONS.assign(nt_acetylcholine_prob=0.5),
    ),
    Case(
        "text in place of a probability",
        FILE + "column 'nts_8.ach': is of type large_string, but must be a number\n"
        "  hint: write the column as float32 or float64",
        predictions=PREDICTIONS.assign(**{"nts_8.ach": "much"}),
    ),
    Case(
        "no split for ground truth",
        FILE + "there is no column 'split' (which T-bars the predictor learned from; ground-truth needs it)\n"
        "  hint: its columns are: x, y, z, nts_8.gaba, nts_8.ach",
        predictions=PREDICTIONS.drop(columns="split"),
        overrides=GROUND_TRUTH,
    ),
    Case(
        "ground truth without cell types",
        "{dir}/truth.csv: there is no column of cell types (cell_type, type, mcns_type)\n"
        "  hint: its columns are: name, ground_truth",
        truth="name,ground_truth\nKC,gaba\n",
        overrides=GROUND_TRUTH,
    ),
    Case(
        "ground truth with a gap",
        "{dir}/truth.csv: column 'ground_truth': has no value (1 row); first: row 1: Tm1\n"
        "  hint: fill in or remove these rows",
        truth="cell_type,ground_truth\nKC,gaba\nTm1,\n",
        overrides=GROUND_TRUTH,
    ),
    Case(
        "two truths of one cell type",
        "{dir}/truth.csv: column 'ground_truth': has different values in rows of one cell type (2 rows); "
        "first: row 0: KC: gaba, row 1: KC: glutamate\n"
        "  hint: keep one row for each cell type",
        truth="cell_type,ground_truth\nKC,gaba\nKC,glutamate\n",
        overrides=GROUND_TRUTH,
    ),
    Case(
        "no such table",
        "{dir}/config.yaml:3:23: inputs.neurotransmitters.synister-feather: there is no file {dir}/prediction.feather\n"
        "  hint: did you mean predictions.feather or partners.feather or points.feather?",
        code=2,
        overrides={f"{NT}synister-feather": "prediction.feather"},
    ),
    Case(
        "an ROI without its set",
        "{dir}/config.yaml:4:23: inputs.neurotransmitters.restrict-to-roi.roi: needs its ROI set\n"
        "  hint: add 'roiset: NAME', or remove this setting",
        code=2,
        overrides={f"{NT}restrict-to-roi": {"roi": "ME(R)"}},
    ),
    Case(
        "a misspelt key of the restriction",
        "{dir}/config.yaml:4:23: inputs.neurotransmitters.restrict-to-roi.roi-set: unknown setting\n"
        "  hint: did you mean 'roiset' or outputs.flat-connectome.roi-set?",
        code=2,
        overrides={f"{NT}restrict-to-roi": {"roi-set": "primary"}},
    ),
    Case(
        "too few scales",
        "{dir}/config.yaml:4:5: inputs.neurotransmitters.rescale-coords: "
        "must be a number above 0, or three of them for x, y and z",
        code=2,
        overrides={f"{NT}rescale-coords": [2, 2]},
    ),
    Case(
        "an export without predictions",
        "{dir}/config.yaml:18:23: outputs.neurotransmitters.export-neurotransmitters: "
        "there are no neurotransmitters: inputs.neurotransmitters.synister-feather is not set\n"
        "  hint: name the table of predictions there, or write 'export-neurotransmitters: false'",
        code=2,
        overrides={f"{NT}synister-feather": ""},
    ),
    Case(
        "an unknown ROI",
        "{dir}/config.yaml:4:23: inputs.neurotransmitters.restrict-to-roi.roi: there is no ROI 'ME(L)' in 'primary'\n"
        "  hint: did you mean 'ME(R)'?",
        early=False,
        code=2,
        overrides={f"{NT}restrict-to-roi": {"roi": "ME(L)", "roiset": "primary"}},
    ),
    Case(
        "no probability",
        FILE + "column 'nts_8.gaba': is no probability: it is outside 0 .. 1 (1 row); first: row 1: 50.0\n"
        "  hint: mend these rows",
        early=False,
        predictions=PREDICTIONS.assign(**{"nts_8.gaba": [0.5, 50, 0.5]}),
    ),
    Case(
        "a prediction without a place",
        FILE + "column 'x': has no value (1 row); first: row 1: None\n  hint: every prediction needs a place",
        early=False,
        predictions=PREDICTIONS.assign(x=pd.array([100, None, 300], dtype="Int64")),
    ),
    Case(
        "coordinates beyond 21 bits",
        FILE + "column 'x': is outside -1048576 .. 1048575 (2 rows); first: row 1: 2000000.0, row 2: 3000000.0\n"
        f"  hint: {NEEDS_PLACE}",
        early=False,
        predictions=PREDICTIONS.assign(x=[0, 200, 300]),
        overrides={f"{NT}rescale-coords": 10000},
    ),
    Case(
        "coordinates of another scale",
        FILE + f"none of the predictions lies at a T-bar of the snapshot (3 rows)\n  hint: {NEEDS_PLACE}",
        early=False,
        overrides={f"{NT}rescale-coords": 2},
    ),
    Case(
        "two predictions of one T-bar",
        FILE + "T-bars have several predictions (2 rows); first: x 100, y 10, z 1\n"
        f"  hint: keep one row for each T-bar; {NEEDS_PLACE}",
        early=False,
        predictions=PREDICTIONS.assign(x=[100, 100, 300]),
    ),
    Case(
        "no T-bar in the region",
        "no connection lies inside the region that neurotransmitters are restricted to\n"
        "  hint: change or remove inputs.neurotransmitters.restrict-to-roi",
        early=False,
        overrides={
            "points": tiny.points().assign(primary=pd.Series([None] * 27, dtype=object)),
            f"{NT}restrict-to-roi": {"roiset": "primary"},
        },
    ),
]


@pytest.fixture
def command() -> Iterator[Callable[..., int]]:
    """The command line program within this process, which is left as it was."""
    root, package = logging.getLogger(), logging.getLogger("flyem_snapshot")
    handlers, level, terminate = list(root.handlers), package.level, signal.getsignal(signal.SIGTERM)
    yield lambda *words: main([str(word) for word in words])
    root.handlers[:] = handlers
    package.setLevel(level)
    logging.captureWarnings(False)
    signal.signal(signal.SIGTERM, terminate)


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_a_bad_input_ends_in_one_message_and_no_half_written_file(case, tmp_path, command, capsys):
    code = command("-c", case.write(tmp_path))

    assert capsys.readouterr().err == case.expected(tmp_path)
    assert code == case.code
    out = tmp_path / "out"
    written = [str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()] if out.is_dir() else []
    assert not [name for name in written if name.startswith("nt") or ".partial-" in name or "scratch" in name]
    assert not [name for name in written if name.endswith(".sentinel") and "neurotransmitters" in name]
    if case.early:
        assert not [name for name in written if name.endswith(".sentinel")]


def test_a_mended_run_resumes_with_the_predictions(tmp_path, command, capsys):
    bad = next(case for case in CASES if case.name == "no probability")
    assert command("-c", bad.write(tmp_path)) == 1
    capsys.readouterr()

    PREDICTIONS.to_feather(tmp_path / "predictions.feather")

    assert command("-c", tmp_path / "config.yaml") == 0
    assert "inputs.synapses: reuse" in capsys.readouterr().out
    assert (tmp_path / "out" / "nt" / "body-neurotransmitters-tiny.feather").exists()
