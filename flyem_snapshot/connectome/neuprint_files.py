"""The files of a neuPrint folder: their names, and what the header of a CSV says."""

from __future__ import annotations

import csv
import gzip
import zlib
from pathlib import Path
from typing import IO, Final
from urllib.parse import quote

from flyem_snapshot.errors import DataError

FOLDER: Final = "neuprint"
META_SETTINGS: Final = "neuprint-meta.yaml"
"""Lies beside the folder."""

META: Final = "Neuprint_Meta.csv"
NEURONS_FOLDER: Final = "Neuprint_Neurons"
SYNAPSES_FOLDER: Final = "Neuprint_Synapses"
ELEMENTS_FOLDER: Final = "Neuprint_Elements"
"""Has a folder for each element table."""

ELEMENT_SETS_FOLDER: Final = "Neuprint_ElementSets"
CONNECTIONS: Final = "Neuprint_Neuron_Connections.csv"
SYNAPSE_CONNECTIONS: Final = "Neuprint_Synapse_Connections.csv"
SYNAPSE_SETS: Final = "Neuprint_SynapseSet.csv"
NEURON_TO_SYNAPSE_SET: Final = "Neuprint_Neuron_to_SynapseSet.csv"
SYNAPSE_SET_TO_SYNAPSE_SET: Final = "Neuprint_SynapseSet_to_SynapseSet.csv"
SYNAPSE_SET_TO_SYNAPSES: Final = "Neuprint_SynapseSet_to_Synapses.csv"
CLOSE_TO: Final = "Neuprint_Elements_CloseTo_{}.csv"
"""One for each element table with distances."""

ELEMENT_SETS: Final = "Neuprint_ElementSet_{}.csv"
NEURON_TO_ELEMENT_SET: Final = "Neuprint_Neuron_to_ElementSet_{}.csv"
ELEMENT_SET_TO_ELEMENTS: Final = "Neuprint_ElementSet_to_Element_{}.csv"
"""One for each type of element."""

INDEXES: Final = "create-indexes.cypher"
META_DEBUG: Final = "Neuprint_Meta_debug.json"
BODY_ELEMENTS: Final = "body_elements.feather"
ROI_ELEMENTS: Final = "roi_elements.feather"
NEURONS_TABLE: Final = "Neuprint_Neurons.feather"
CONNECTIONS_TABLE: Final = "Neuprint_Neuron_Connections.feather"

GZIP: Final = ".gz"
_ANY: Final = "*"


def in_file_name(name: str) -> str:
    """An element type or the name of an element table as a part of a file name: unusual characters as `%20`."""
    return quote(name, safe="").replace("~", "%7E")


def csv_files_in(folder: Path, pattern: str = "*.csv") -> list[Path]:
    """The CSV files in a folder whose name is `pattern` (`*` stands for anything), plain or gzipped, by name.

    `{}` in the names above stands for anything too.  Empty if the folder does not exist.
    """
    names = pattern.replace("{}", _ANY)
    found = {path for name in (names, names + GZIP) for path in folder.glob(name)}
    return sorted(path for path in found if path.is_file() and not path.name.startswith("."))


def csv_header(path: Path) -> list[str]:
    """The cells of a CSV's first row; raises DataError if the file is missing, empty, torn or no text."""
    try:
        with _text(path) as file:
            cells = next(csv.reader(file, strict=True), None)
    except FileNotFoundError as error:
        raise DataError("there is no such file", file=path) from error
    except (OSError, EOFError, UnicodeDecodeError, csv.Error, zlib.error) as error:
        raise DataError(f"the header cannot be read: {error}", file=path) from error
    if not cells:
        raise DataError("is empty: not even a header", file=path)
    return cells


def _text(path: Path) -> IO[str]:
    if path.suffix == GZIP:
        return gzip.open(path, "rt", encoding="utf-8", newline="")
    return path.open(encoding="utf-8", newline="")


def property_name(cell: str) -> str:
    """What a header cell calls its column: `post` of `post:int`, `:ID` of `:ID(Body-ID)`."""
    name, _, kind = cell.partition(":")
    return name or f":{kind.partition('(')[0]}"


def property_type(cell: str) -> str:
    """The type in a header cell: `int` of `post:int`; empty if there is none."""
    return cell.partition(":")[2]


def flag_columns(header: list[str]) -> dict[int, str]:
    """Position to ROI of the columns that say in which ROIs a node is: the boolean ones after the labels."""
    labels = [position for position, cell in enumerate(header) if cell.upper() == ":LABEL"]
    if not labels:
        return {}
    after = enumerate(header[labels[0] + 1 :], start=labels[0] + 1)
    return {position: property_name(cell) for position, cell in after if property_type(cell) == "boolean"}
