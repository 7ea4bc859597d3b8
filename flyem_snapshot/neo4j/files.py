"""Which CSV files of a neuPrint folder are nodes, and which are relationships of which type."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Final

from flyem_snapshot.connectome import neuprint_files as names
from flyem_snapshot.errors import DataError
from flyem_snapshot.neo4j.headers import Disguise, write_header

FILES_A_FOLDER: Final = 200
_UNSAFE: Final = re.compile(r"[^A-Za-z0-9._-]")

_REQUIRED_NODES: Final = (names.META, f"{names.NEURONS_FOLDER}/*.csv", names.SYNAPSE_SETS)
_OPTIONAL_NODES: Final = (
    f"{names.SYNAPSES_FOLDER}/*.csv",
    f"{names.ELEMENTS_FOLDER}/*/*.csv",
    f"{names.ELEMENT_SETS_FOLDER}/{names.ELEMENT_SETS}",
)
_REQUIRED_RELATIONSHIPS: Final = (
    ("ConnectsTo", names.CONNECTIONS),
    ("ConnectsTo", names.SYNAPSE_SET_TO_SYNAPSE_SET),
    ("SynapsesTo", names.SYNAPSE_CONNECTIONS),
    ("Contains", names.NEURON_TO_SYNAPSE_SET),
    ("Contains", names.SYNAPSE_SET_TO_SYNAPSES),
)
_OPTIONAL_RELATIONSHIPS: Final = (
    ("CloseTo", names.CLOSE_TO),
    ("Contains", names.NEURON_TO_ELEMENT_SET),
    ("Contains", names.ELEMENT_SET_TO_ELEMENTS),
)


@dataclass(frozen=True)
class ImportFile:
    """A CSV file to import; `relationship` is the type of its relationships, None for a file of nodes.

    `header` is a file whose only row takes the place of the file's own first one.
    """

    path: Path
    relationship: str | None = None
    header: Path | None = None

    @property
    def words(self) -> str:
        """The file or files as the importer is told."""
        return str(self.path) if self.header is None else f"{self.header},{self.path}"


def import_files(folder: Path) -> list[ImportFile]:
    """The files of the neuPrint folder `folder` that the database is made of: nodes first, then relationships.

    Raises DataError if one that every neuPrint folder has is missing, or exists both plain and gzipped.
    """
    files = list(chain.from_iterable(_found(folder, pattern, None, required=True) for pattern in _REQUIRED_NODES))
    files += chain.from_iterable(_found(folder, pattern, None, required=False) for pattern in _OPTIONAL_NODES)
    for required, kinds in ((True, _REQUIRED_RELATIONSHIPS), (False, _OPTIONAL_RELATIONSHIPS)):
        files += chain.from_iterable(_found(folder, pattern, kind, required=required) for kind, pattern in kinds)
    twice = sorted({str(file.path) for file in files} & {str(file.path.with_suffix("")) for file in files})
    if twice:
        raise DataError(
            "these exist both plain and gzipped",
            file=folder,
            rows=len(twice),
            examples=twice,
            hint="remove what is left of an older run",
        )
    return files


def _found(folder: Path, pattern: str, kind: str | None, *, required: bool) -> Iterator[ImportFile]:
    found = names.csv_files_in(folder, pattern)
    if required and not found:
        raise DataError(
            f"there is no {pattern} or {pattern}{names.GZIP}",
            file=folder,
            hint="name the directory of a finished snapshot that was made with export-neuprint-snapshot: true",
        )
    return (ImportFile(path, kind) for path in found)


def link_files(
    files: Sequence[ImportFile], source: Path, seen_as: Path, target: Path, disguise: Disguise | None = None
) -> list[ImportFile]:
    """Make a folder of links to the files, with names that the importer takes for what they are.

    The importer understands a name as a regular expression that it matches with every file of the folder, and splits
    it at `,` and `=`: names need plain characters, and folders few files.  `source` is the folder of the files,
    `seen_as` its path where the importer runs; `disguise` is what headers need.  The results' paths are
    relative to `target`.
    """
    linked = []
    for number, file in enumerate(files):
        relative = file.path.relative_to(source)
        name = Path(f"{number // FILES_A_FOLDER:04}", f"{number:06}-{_UNSAFE.sub('_', '-'.join(relative.parts))}")
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        (target / name).symlink_to(seen_as / relative)
        header = name.with_name(f"{number:06}-header.csv")
        special = disguise is not None and write_header(file.path, disguise, target / header)
        linked.append(ImportFile(name, file.relationship, header if special else None))
    return linked
