"""A first glance at a finished snapshot: what was written, the strongest connections, the largest neurons.

    python examples/glance.py OUTPUT_DIRECTORY

It shows how the files are meant to be read: each is a Feather table that `pandas.read_feather` opens.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd
from pyarrow import feather

ROWS = 8


def main() -> None:
    """Print a few short tables about one output directory."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path, help="the output directory of a finished run")
    output: Path = parser.parse_args().output

    print(f"\nResults are in {output}\n")
    show("Files", files(output))
    show(f"The {ROWS} strongest connections (weight = number of T-bar to PSD connections)", strongest(output))
    show(f"The {ROWS} bodies with the most synapses", largest(output))
    show("Connections by region (a connection lies where its PSD is)", by_region(output))
    show("Bodies by tracing status", pd.read_csv(only(output, "tables/body-status-counts-*.csv")))


def show(title: str, table: pd.DataFrame) -> None:
    """One titled table: text to the left, numbers to the right, `-` where there is nothing."""
    print(title)
    rows = [[str(name) for name in table.columns]]
    rows += [["-" if pd.isna(value) else str(value) for value in row] for row in table.itertuples(index=False)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    numeric = [pd.api.types.is_numeric_dtype(dtype) for dtype in table.dtypes]
    for row in rows:
        cells = [c.rjust(w) if n else c.ljust(w) for c, w, n in zip(row, widths, numeric, strict=True)]
        print("  " + "  ".join(cells).rstrip())
    print()


def only(output: Path, pattern: str) -> Path:
    """The complete version of a table: the shortest name, without `-traced-only` and the like."""
    return min(output.glob(pattern), key=lambda path: len(path.name))


def files(output: Path) -> pd.DataFrame:
    """Every result with its number of rows and its size."""
    paths = sorted(path for folder in ("flat-connectome", "tables") for path in (output / folder).iterdir())
    return pd.DataFrame(
        {
            "file": [str(path.relative_to(output)) for path in paths],
            "rows": [number_of_rows(path) for path in paths],
            "MB": [round(path.stat().st_size / 1e6, 2) for path in paths],
        }
    )


def number_of_rows(path: Path) -> int:
    """Rows of a table, without its header."""
    if path.suffix == ".feather":
        return int(feather.read_table(path, memory_map=True).num_rows)
    return len(path.read_text().splitlines()) - 1


def strongest(output: Path) -> pd.DataFrame:
    """The heaviest pairs, which stand first in the file, with the cell types of both ends."""
    weights = feather.read_table(only(output, "flat-connectome/connectome-weights-*.feather"), memory_map=True)
    top: pd.DataFrame = weights.slice(0, ROWS).to_pandas()[["body_pre", "body_post", "weight"]]
    types = cell_types(output)
    top.insert(1, "type_pre", top["body_pre"].map(types))
    top.insert(3, "type_post", top["body_post"].map(types))
    return top


def cell_types(output: Path) -> pd.Series[str]:
    """Cell type by body."""
    annotations = pd.read_feather(
        only(output, "flat-connectome/body-annotations-*.feather"), columns=["bodyId", "type"]
    )
    return annotations.set_index("bodyId")["type"]


def largest(output: Path) -> pd.DataFrame:
    """The first rows of body-stats, which is ordered by rank."""
    stats = feather.read_table(only(output, "flat-connectome/body-stats-*.feather"), memory_map=True)
    columns = ["rank", "body", "type", "pre", "post", "downstream", "synweight", "top_input_roi", "top_output_roi"]
    top: pd.DataFrame = stats.slice(0, ROWS).to_pandas()
    return top[[name for name in columns if name in top]]


def by_region(output: Path) -> pd.DataFrame:
    """Number of connections and mean PSD confidence in each region, most connections first."""
    path = only(output, "flat-connectome/syn-partners-*.feather")
    columns = feather.read_table(path, memory_map=True).column_names
    region = columns[columns.index("conf_post") + 1]
    partners = pd.read_feather(path, columns=[region, "conf_post"])
    confidences = partners.groupby(region, observed=True)["conf_post"]
    table = pd.DataFrame(
        {"connections": confidences.size(), "mean_conf_post": confidences.mean().astype(float).round(3)}
    )
    return table.sort_values("connections", ascending=False).reset_index()


if __name__ == "__main__":
    main()
