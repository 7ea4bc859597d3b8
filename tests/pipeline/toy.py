"""A pipeline of toy stages, and ways to run it: within the test, or as a process that can be killed.

points (reads a file of numbers) -> doubled -> totals
points, names (off by default)   -> listing
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import xxhash
from pyarrow import feather

from flyem_snapshot.cli.edge import guarded
from flyem_snapshot.config.model import Section, setting
from flyem_snapshot.errors import SettingError
from flyem_snapshot.log import setup_logging
from flyem_snapshot.pipeline.job import open_job
from flyem_snapshot.pipeline.runner import run_job
from flyem_snapshot.stage import Context, Stage

ROOT = Path(__file__).resolve().parents[2]


class PointsSettings(Section):
    """Numbers from a file."""

    table: Path = setting(input_file=True, doc="File of numbers, one a line.")
    minimum: int = setting(0, doc="Leave out smaller numbers.")
    pause: float = setting(0.0, affects_result=False, doc="Seconds to wait before each file.")


class NamesSettings(Section):
    """Names, if they are asked for."""

    load_names: bool = setting(False, doc="Load them.")


class DoubledSettings(Section):
    """Twice each number."""

    factor: int = setting(2, doc="Not always twice.")
    pause: float = setting(0.0, affects_result=False, doc="Seconds to wait before each file.")


class TotalsSettings(Section):
    """Sums."""

    export_totals: bool = setting(True, doc="Write them.")
    pause: float = setting(0.0, affects_result=False, doc="Seconds to wait before each file.")
    fail: str | None = setting(None, affects_result=False, doc="How to fail.")


class ListingSettings(Section):
    """One file a number."""

    export_listing: bool = setting(True, doc="Write it.")
    prefix: str = setting("n", doc="Begin of each file's name.")
    pause: float = setting(0.0, affects_result=False, doc="Seconds to wait before each file.")


@dataclass
class Numbers:
    """A table of numbers in a file of the cache."""

    values: list[int]
    name: str
    open: bool = True

    def record(self) -> dict[str, Any]:
        return {"name": self.name}

    @classmethod
    def keep(cls, ctx: Context, values: list[int]) -> Numbers:
        ctx.out.write_text(f"{ctx.cache}/numbers.txt", "\n".join(map(str, values)))
        return cls(values, ctx.cache)

    @classmethod
    def reopen(cls, ctx: Context, record: dict[str, Any]) -> Numbers:
        assert record == {"name": ctx.cache}
        return cls([int(line) for line in ctx.out.path(f"{ctx.cache}/numbers.txt").read_text().split()], ctx.cache)

    def close(self) -> None:
        self.open = False


def load_points(config: PointsSettings, ctx: Context) -> Numbers:
    values = [int(line) for line in config.table.read_text().split()]
    time.sleep(config.pause)
    kept = [value for value in values if value >= config.minimum]
    ctx.exclusions.add("points", f"below {config.minimum}", len(values) - len(kept))
    return Numbers.keep(ctx, kept)


def load_names(config: NamesSettings, ctx: Context) -> Numbers:
    return Numbers.keep(ctx, [1])


def double(config: DoubledSettings, ctx: Context, *, points: Numbers) -> Numbers:
    assert points.open
    time.sleep(config.pause)
    return Numbers.keep(ctx, [config.factor * value for value in points.values])


def write_totals(config: TotalsSettings, ctx: Context, *, doubled: Numbers) -> None:
    assert doubled.open
    with ctx.out.create(f"totals/totals-{ctx.tag}.feather", rows=1) as path:
        feather.write_feather(pa.table({"total": [sum(doubled.values)]}), str(path))
    (ctx.scratch / "leftover").write_text("x")
    fail(config.fail, ctx)
    time.sleep(config.pause)
    ctx.out.write_text(f"totals/totals-{ctx.tag}.txt", f"{sum(doubled.values)}\n")


def fail(how: str | None, ctx: Context) -> None:
    if how == "setting":
        raise SettingError("pause", "cannot be so", hint="try another")
    if how == "bug":
        raise RuntimeError("unexpected")
    if how == "memory":
        ctx.engine.execute("SET memory_limit = '10MB'; SET temp_directory = ''")
        ctx.engine.execute("CREATE TABLE big AS SELECT range AS x, random() AS y FROM range(10000000) ORDER BY y")
    if how == "sql":
        # With two threads, one of them waits for the other and does not look for signals.
        ctx.engine.execute(
            "CREATE TABLE sorted AS SELECT range % 1000 AS a, random() AS b FROM range(200000000) ORDER BY b"
        )
    if how == "big-csv":
        with ctx.out.create("totals/big.csv") as path:
            ctx.engine.execute(f"COPY (SELECT random() AS x FROM range(1000000)) TO '{path}' (FORMAT csv)")
    if how == "big-text":
        ctx.out.write_text("totals/big.txt", "x" * (1 << 23))


def write_listing(config: ListingSettings, ctx: Context, *, points: Numbers, names: Numbers | None) -> None:
    assert points.open
    for value in points.values:
        time.sleep(config.pause)
        ctx.out.write_text(
            f"listing/{value % 3}/{config.prefix}{value}-{ctx.tag}.txt", f"{value} {names is not None}\n"
        )


POINTS = Stage("points", "inputs", PointsSettings, load_points, produces=Numbers)
NAMES = Stage("names", "inputs", NamesSettings, load_names, produces=Numbers, enabled=lambda config: config.load_names)
DOUBLED = Stage("doubled", "inputs", DoubledSettings, double, produces=Numbers)
TOTALS = Stage("totals", "outputs", TotalsSettings, write_totals, enabled=lambda config: config.export_totals)
LISTING = Stage("listing", "outputs", ListingSettings, write_listing, enabled=lambda config: config.export_listing)
# Deliberately not in the order of execution.
STAGES = (DOUBLED, NAMES, POINTS, TOTALS, LISTING)


class Toy:
    """An input file, a config file and an output directory below `folder`."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.config = folder / "config.yaml"
        self.table = folder / "numbers.txt"
        self.out = folder / "out"
        self.table.write_text("1\n2\n3\n4\n5\n")
        self.configure()

    def configure(self, job: str = "", **sections: str) -> None:
        """Write the config: each section's settings as YAML flow, such as `points="minimum: 3"`."""
        points = ", ".join(filter(None, ["table: numbers.txt", sections.pop("points", "")]))
        inputs = {"points": points, **{n: s for n, s in sections.items() if n in ("names", "doubled")}}
        outputs = {n: s for n, s in sections.items() if n not in inputs}
        tag = "" if "snapshot-tag" in job else "snapshot-tag: v1"
        settings = ", ".join(filter(None, ["memory-limit: 200MB, output-dir: out", tag, job]))
        lines = ["inputs:", *(f"  {name}: {{{text}}}" for name, text in inputs.items())]
        lines += ["outputs:", *(f"  {name}: {{{text}}}" for name, text in outputs.items())] if outputs else []
        self.config.write_text("\n".join([*lines, f"job-settings: {{{settings}}}", ""]))

    def job(self, stages: tuple[Stage, ...] = STAGES):
        return open_job(self.config, stages)

    def run(self, stages: tuple[Stage, ...] = STAGES) -> dict[str, str]:
        """Run within this process; the action of each stage."""
        run_job(self.job(stages))
        return self.actions()

    def actions(self) -> dict[str, str]:
        return {name.split(".")[1]: stage["action"] for name, stage in self.summary()["stages"].items()}

    def summary(self) -> dict[str, Any]:
        return json.loads((self.out / "run-summary.json").read_text())

    def manifest(self) -> dict[str, Any]:
        return json.loads((self.out / "MANIFEST.json").read_text())

    def start(self, **options: Any) -> subprocess.Popen[str]:
        """Run in a process of its own."""
        command = [sys.executable, "-m", "tests.pipeline.toy", str(self.config)]
        return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)

    def files(self) -> dict[str, str]:
        """Digest of everything in the output directory that a run must make equally each time."""
        changing = ("cache/.lock", "cache/file-digests.json", "run-summary.json", "final-config.yaml")
        found = {str(path.relative_to(self.out)): path for path in self.out.rglob("*") if path.is_file()}
        return {
            name: ""
            if name.startswith("cache/") and name.endswith(".json")
            else xxhash.xxh3_64_hexdigest(path.read_bytes())
            for name, path in sorted(found.items())
            if name not in changing
        }


def results(files: dict[str, str]) -> dict[str, str]:
    """Of `Toy.files()`, those that are for the user."""
    return {name: digest for name, digest in files.items() if not name.startswith("cache/")}


def main() -> None:
    """Run the toy pipeline on a config file, as the command line would."""
    setup_logging()
    sys.exit(guarded(lambda: run_job(open_job(Path(sys.argv[1]), STAGES)), resume=f"toy {sys.argv[1]}"))


if __name__ == "__main__":
    main()
