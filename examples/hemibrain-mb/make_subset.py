"""Make this example's three tables from the full collection of hemibrain mushroom-body synapses.

    python make_subset.py COLLECTION OUT

COLLECTION is a directory with `points.feather`, `partners.feather` and `annotations.feather`; the README beside
this file says where they come from.  Whole neurons are chosen, never single synapses: every connection between
two chosen bodies that the collection has is kept, so the weight of each body pair is complete.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd
import pyarrow as pa
from pyarrow import feather

# All alpha'/beta' Kenyon cells and the posterior alpha/beta ones.  Everything that is no Kenyon cell (the projection
# neurons, APL, the two MB-C1, and pieces of neurons that were never joined to their body) is taken as well.
KENYON_CELL_TYPES = ("KCa'b'-ap1", "KCa'b'-ap2", "KCa'b'-m", "KCab-p")

# Neurons that are annotated but have no synapse here: the mushroom body's output neurons, DPM, dopaminergic neurons.
TYPES_WITHOUT_SYNAPSES = r"MBON|DPM|PAM|PPL"

POINT_COLUMNS = ["point_id", "x", "y", "z", "kind", "conf", "body", "roi"]


def main() -> None:
    """Read the three full tables, choose bodies, write the three small ones."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("collection", type=Path, help="directory with the full tables")
    parser.add_argument("out", type=Path, help="directory for the small ones")
    arguments = parser.parse_args()

    tables = {name: feather.read_table(arguments.collection / f"{name}.feather").to_pandas() for name in TABLES}
    for name, table in subset(**tables).items():
        write(table, arguments.out / f"{name}.feather")


TABLES = ("points", "partners", "annotations")


def subset(points: pd.DataFrame, partners: pd.DataFrame, annotations: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The chosen rows of each table, in a total order: points and partners by id, annotations by body."""
    chosen = chosen_bodies(annotations)
    chosen_ids = points.loc[points["body"].isin(chosen), "point_id"]
    partners = partners[partners["pre_id"].isin(chosen_ids) & partners["post_id"].isin(chosen_ids)]
    connected = pd.concat([partners["pre_id"], partners["post_id"]])
    points = points.loc[points["point_id"].isin(connected), POINT_COLUMNS]

    described = chosen | set(annotations.loc[annotations["type"].fillna("").str.match(TYPES_WITHOUT_SYNAPSES), "body"])
    annotations = annotations[annotations["body"].isin(described)].drop(columns="in_points")
    # The collection says it in words, but neuPrint's clients ask for a boolean: NeuronCriteria(cropped=False).
    annotations["cropped"] = annotations["cropped"].map({"True": True, "False": False})
    return {
        "points": points.sort_values("point_id").astype({"roi": "category"}),
        "partners": partners.sort_values(["pre_id", "post_id"]),
        "annotations": annotations.sort_values("body"),
    }


def chosen_bodies(annotations: pd.DataFrame) -> set[int]:
    """Bodies that have a synapse in the collection and are of a chosen type, or no Kenyon cell at all."""
    present = annotations[annotations["in_points"]]
    kenyon_cell = present["type"].fillna("").str.startswith("KC")
    return set(present.loc[~kenyon_cell | present["type"].isin(KENYON_CELL_TYPES), "body"])


def write(table: pd.DataFrame, path: Path) -> None:
    """One Feather file, strongly compressed, since it is kept in version control."""
    arrow = pa.Table.from_pandas(table, preserve_index=False)
    feather.write_feather(arrow, path, compression="zstd", compression_level=19)


if __name__ == "__main__":
    main()
