"""What the neurotransmitter tables hold: predictions by voxel, and what experiments say about cell types."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tests.oracle.config import Config
from tests.oracle.ids import encode
from tests.oracle.tables import read

TRANSLATIONS = {
    "neither": "unknown",
    "glut": "glutamate",
    "oct": "octopamine",
    "da": "dopamine",
    "ser": "serotonin",
    "5ht": "serotonin",
    "ach": "acetylcholine",
}
AXES = ("{}", "pre_{}", "{}_pre")
CELL_TYPE = ("cell_type", "type", "mcns_type")
# What an experiment may say about a cell type, and the headers under which it says so.
EXPERIMENT = {
    "consensus_nt": ("consensusNt", "consensus_nt", "ground_truth"),
    "nt_reference": ("ntReference", "nt_reference"),
    "other_nt": ("otherNt", "other_nt"),
    "other_nt_reference": ("otherNtReference", "other_nt_reference"),
}


def transmitter(column: str, translations: dict[str, str]) -> str:
    """The transmitter whose probability a column holds: `nts_8.GABA` and `nt_gaba_prob` -> gaba.

    `_prob` and all that follows goes, then all up to the last dot or underscore; what is left is looked up in small
    letters.
    """
    name = re.split(r"[._]", column.split("_prob", maxsplit=1)[0])[-1].lower()
    return translations.get(name, name)


def read_predictions(config: Config, tbars: pd.Series) -> pd.DataFrame:
    """point_id, then nt_<name>_prob float32 for each transmitter, then `split` if the table has it.

    Only for the T-bars given; none of them may be predicted twice.
    """
    settings = config.get("inputs.neurotransmitters", {})
    table = read(config.path(settings["synister-feather"]))
    translations = settings.get("translate-names")
    translations = TRANSLATIONS if translations is None else translations
    probabilities = {c: f"nt_{transmitter(c, translations)}_prob" for c in table if re.match("nts|nt_", c)}
    if not probabilities or len(set(probabilities.values())) < len(probabilities):
        raise ValueError("predictions: no transmitter, or two columns of one")
    result = pd.DataFrame({"point_id": encode(*_coordinates(table, settings.get("rescale-coords")))})
    for column, name in probabilities.items():
        result[name] = table[column].astype("float64").astype("float32")
    if "split" in table:
        result["split"] = table["split"].map(str, na_action="ignore").astype(object)
    result = result[result["point_id"].isin(tbars)]
    if result["point_id"].duplicated().any():
        raise ValueError("predictions: one T-bar is predicted twice")
    return result


def _coordinates(table: pd.DataFrame, rescale: Any) -> list[np.ndarray]:
    """x, y, z times the factors, cut off towards zero."""
    form = next(f for f in AXES if {f.format(axis) for axis in "xyz"} <= set(table))
    factors = rescale if isinstance(rescale, list) else [1 if rescale is None else rescale] * 3
    return [
        np.trunc(table[form.format(axis)].astype("float64").to_numpy() * factor).astype("int32")
        for axis, factor in zip("xyz", factors, strict=True)
    ]


def read_ground_truth(path: Path) -> pd.Series:
    """Transmitter by cell type, without gaps."""
    table = _texts(path)
    if "ground_truth" not in table:
        return _verified(table)["consensus_nt"]
    truth = _by_type(table, "ground_truth")
    if table[["ground_truth", truth.index.name]].isna().any(axis=None):
        raise ValueError("ground truth: a cell is empty")
    return truth


def read_experiments(path: Path) -> dict[str, pd.Series]:
    """Per column of the body table, values by cell type; empty cells say nothing."""
    table = _texts(path)
    present = {name: next((f for f in forms if f in table), None) for name, forms in EXPERIMENT.items()}
    if not present["consensus_nt"]:
        return _verified(table)
    return {name: _by_type(table, form) for name, form in present.items() if form}


def _verified(table: pd.DataFrame) -> dict[str, pd.Series]:
    """The same from a collection of experiments, in which each row is one piece of evidence of some confidence.

    A row names what it found, with `-negative` behind what it did not find, or has a column for each transmitter with
    1 for found.  A type has the evidence of most confidence (the first of equals) among rows that found anything:
    its first name is the consensus, the other names are other_nt.
    """
    best: dict[str, tuple[int, list[str], Any]] = {}
    key = next(c for c in CELL_TYPE if c in table)
    for _, row in table.iterrows():
        found = _found(row)
        confidence = int(row["neurotransmitter_verified_confidence"])
        if found and not pd.isna(row[key]) and (row[key] not in best or best[row[key]][0] < confidence):
            best[row[key]] = (confidence, found, row["neurotransmitter_verified_source"])
    values = {
        "consensus_nt": [found[0] for _, found, _ in best.values()],
        "nt_reference": [source for _, _, source in best.values()],
        "other_nt": [", ".join(found[1:]) or None for _, found, _ in best.values()],
    }
    return {name: pd.Series(column, index=list(best), dtype=object) for name, column in values.items()}


def _found(row: pd.Series) -> list[str]:
    """The transmitters that a row of evidence has found, in the order in which they are written."""
    if "neurotransmitter_verified" in row:
        listed = row["neurotransmitter_verified"]
        names = [] if pd.isna(listed) else [name.strip() for name in listed.split(",")]
        return [name for name in names if name and not name.endswith("-negative")]
    columns = [c for c in row.index if not c.startswith("neurotransmitter_") and row[c] == "1"]
    return [c.replace("_", " ") for c in columns]


def _texts(path: Path) -> pd.DataFrame:
    """A CSV whose cells are text: a cell type called 101 or NA is a name; the empty cell is null."""
    return pd.read_csv(path, dtype=str, keep_default_na=False, na_values=[""])


def _by_type(table: pd.DataFrame, column: str) -> pd.Series:
    """Values that are there by cell type; rows may repeat each other but not disagree."""
    key = next(c for c in CELL_TYPE if c in table)
    pairs = table[[key, column]].dropna().drop_duplicates()
    if pairs[key].duplicated().any():
        raise ValueError(f"{column}: two values for one cell type")
    return pairs.set_index(key)[column].astype(object)
