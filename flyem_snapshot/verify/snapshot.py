"""A finished snapshot under examination: its settings, its files, and the tables made of them as they are needed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from flyem_snapshot.connectome import neuprint_files
from flyem_snapshot.engine.limits import DEFAULT_SHARE, available_cpus, available_memory, parse_size
from flyem_snapshot.engine.session import Engine, Limits
from flyem_snapshot.engine.sql import identifier, literal
from flyem_snapshot.errors import DataError, SnapshotError
from flyem_snapshot.verify.reading import categories, feather_columns, one_file, single_row
from flyem_snapshot.verify.settings import RunSettings, read_settings
from flyem_snapshot.verify.tables import KEYS, TABLES

FLAT_FOLDER: Final = "flat-connectome"
MANIFEST: Final = "MANIFEST.json"
UNSPECIFIED: Final = "<unspecified>"
_LEVELS: Final = ("-significant-only", "-traced-only")


class Snapshot:
    """The directory of a finished snapshot, open for reading."""

    def __init__(self, root: Path, engine: Engine) -> None:
        self.root = root
        self.engine = engine
        self._rows: dict[str, int] = {}
        self._faults: dict[str, SnapshotError] = {}

    @property
    def has_neuprint(self) -> bool:
        """Whether there is a neuPrint export, or should be one."""
        return (self.root / neuprint_files.FOLDER).is_dir()

    @property
    def has_flat(self) -> bool:
        """Whether there is a flat connectome."""
        return (self.root / FLAT_FOLDER).is_dir()

    @cached_property
    def settings(self) -> RunSettings:
        """The settings of the run; raises SnapshotError if they cannot be read."""
        return read_settings(self.root, with_meta=self.has_neuprint)

    @property
    def neuprint(self) -> Path:
        """The folder of the neuPrint export."""
        return self.root / neuprint_files.FOLDER

    def flat_file(self, stem: str, level: str = "") -> Path:
        """A table of the flat connectome; raises DataError if there is none, or more than one."""
        found = [
            path
            for path in sorted((self.root / FLAT_FOLDER).glob(f"{stem}-*.feather"))
            if (path.stem.endswith(level) if level else not path.stem.endswith(_LEVELS))
        ]
        if len(found) != 1:
            problem = "there is no such file" if not found else "there are several such files"
            raise DataError(problem, file=self.root / FLAT_FOLDER / f"{stem}-*{level}.feather")
        return found[0]

    @cached_property
    def roi_sets(self) -> dict[str, list[str]]:
        """ROI set to its ROIs, for the sets that neuPrint knows, as the points of the flat connectome tell them."""
        if not self.has_flat:
            return {}
        points = self.flat_file("syn-points")
        names = set(feather_columns(points))
        return {
            name: [roi for roi in categories(points, name) if roi != UNSPECIFIED]
            for name in self.settings.roi_sets
            if name in names and f"{name}_label" in names
        }

    @cached_property
    def meta(self) -> dict[str, str]:
        """The cells of the Meta node, by header cell, without empty ones; raises DataError if it is not one row."""
        return single_row(self.engine, one_file(self.neuprint, neuprint_files.META))

    @cached_property
    def nt_scores(self) -> dict[str, str]:
        """Property to type of the probabilities of neurotransmitters, as Meta lists them; none if it lists none.

        What is wrong with Meta itself is said by its own checks.
        """
        try:
            said = json.loads(self.meta.get("ntSynapseProperties:string", "{}"))
        except (SnapshotError, ValueError):
            return {}
        return {str(name): str(kind) for name, kind in said.items()} if isinstance(said, dict) else {}

    @cached_property
    def own_confidences(self) -> bool:
        """Whether the partner rows carry other confidences than the points, so that the points cannot tell weights."""
        if not self.has_flat:
            return False
        for table in ("flat_partners", "flat_points"):
            self.use(table)
        found = self.engine.scalar("""
            SELECT count(*) FROM flat_partners JOIN flat_points ON point_id = post_id
            WHERE conf IS DISTINCT FROM conf_post
        """)
        return bool(found)

    def column_sources(self, table: str) -> list[str]:
        """The count columns of body_elements.feather or roi_elements.feather."""
        return [name for name in feather_columns(self.neuprint / table) if name not in KEYS]

    def use(self, table: str) -> str:
        """Make a table unless it has been made; returns its quoted name.

        Raises the SnapshotError of the file that cannot be read, again each time.
        """
        if table in self._faults:
            raise self._faults[table]
        if table not in self._rows:
            try:
                TABLES[table](self)
                self._rows[table] = self.engine.scalar(f"SELECT count(*) FROM {identifier(table)}")
            except SnapshotError as error:
                self.engine.execute(f"DROP TABLE IF EXISTS {identifier(table)}")
                self._faults[table] = error
                raise
        return identifier(table)

    def rows_of(self, table: str) -> int:
        """The number of rows of a table, which is made if need be."""
        self.use(table)
        return self._rows[table]


@contextmanager
def opened(root: Path) -> Iterator[Snapshot]:
    """Open a snapshot with a session that spills into a temporary directory; both end with the `with`."""
    with TemporaryDirectory(prefix="flyem-snapshot-verify-") as scratch:
        limit, threads = _job_limits(root)
        with Engine(Limits(limit, threads, Path(scratch) / "spill")) as engine:
            # Tables of a database in a file are compressed and need not fit in memory.
            engine.execute(f"ATTACH {literal(str(Path(scratch) / 'tables.duckdb'))} AS verify")
            engine.execute("USE verify")
            engine.execute("SET preserve_insertion_order = false")
            yield Snapshot(root, engine)


def _job_limits(root: Path) -> tuple[int, int]:
    """Bytes and threads: what the job settings of the snapshot say, but no more threads than there are."""
    try:
        job = read_settings(root, with_meta=False).config.get("job-settings") or {}
        memory, processes = job.get("memory-limit"), int(job.get("processes") or available_cpus())
        limit = parse_size(memory) if memory else int(DEFAULT_SHARE * available_memory())
    except (SnapshotError, ValueError, TypeError, AttributeError):  # said by a check of its own
        limit, processes = int(DEFAULT_SHARE * available_memory()), available_cpus()
    return limit, min(processes, available_cpus())
