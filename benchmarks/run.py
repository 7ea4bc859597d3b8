"""Time and memory of a whole run on synthetic connectomes, beside the bare lower bound; see README.md.

python benchmarks/run.py --psds 20000000 --memory-limit 2GB --repeat 3
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

from measure import Cap, Failed, Usage

from flyem_snapshot.engine.limits import available_cpus, parse_size

HERE = Path(__file__).resolve().parent
PROGRAM = [sys.executable, "-m", "flyem_snapshot.cli.main"]
SMALL = 1_000_000
TABLES = ("points", "partners", "annotations")


class Benchmark:
    """The measurements of one size.  `data` holds the tables, the settings and, for the time being, the results."""

    def __init__(
        self, psds: int, memory_limit: str, cap: Cap, out: Path, neuprint: str | None, reports: int, *, nt: bool
    ) -> None:
        self.psds, self.memory_limit, self.cap, self.reports = psds, memory_limit, cap, reports
        self.tables = (*TABLES, "predictions") if nt else TABLES
        self.more = ["--neurotransmitters"] if nt else []
        self.config = "config.yaml" if neuprint is None else f"neuprint-{neuprint}.yaml"
        self.data = out / str(psds)
        self.log = out / f"{psds}.log"
        self.data.mkdir(parents=True, exist_ok=True)

    def make_data(self) -> None:
        """Make the tables unless they are there, and read them once, so that no run pays for a cold disk."""
        make = [sys.executable, str(HERE / "make_synapses.py"), "--psds", str(self.psds), "--out", str(self.data)]
        Cap(None).run(
            [*make, "--memory-limit", self.memory_limit, "--reports", str(self.reports), *self.more], self.log
        )
        for name in self.tables:
            with (self.data / f"{name}.feather").open("rb") as file:
                while file.read(1 << 24):
                    pass

    def product(self) -> Usage:
        """A run from nothing."""
        shutil.rmtree(self.data / "output", ignore_errors=True)
        return self.rerun()

    def rerun(self) -> Usage:
        """A run on top of what is there."""
        os.sync()  # what was written before is not this run's work
        return self.cap.run([*PROGRAM, "-c", str(self.data / self.config)], self.log)

    def lower_bound(self, size: int) -> Usage:
        """Reading, joining, and writing `size` bytes."""
        out = self.data / "lower-bound"
        shutil.rmtree(out, ignore_errors=True)
        os.sync()
        command = [sys.executable, str(HERE / "lower_bound.py"), "--data", str(self.data), "--out", str(out)]
        command += ["--bytes", str(size), "--memory-limit", self.memory_limit, "--threads", str(available_cpus())]
        try:
            return self.cap.run(command, self.log)
        finally:
            shutil.rmtree(out, ignore_errors=True)

    def run(self, repeat: int, *, bound: bool) -> dict[str, Any]:
        """All measurements, one pair after the other."""
        self.make_data()
        products, bounds = [], []
        for number in range(1, repeat + 1):
            products.append(self.product())
            say(f"  run {number}: {described(products[-1])}")
            size = self.written()
            if bound:
                bounds.append(self.lower_bound(size))
                ratio = products[-1].wall / bounds[-1].wall
                say(f"  lower bound {number}: {described(bounds[-1])}; ratio {ratio:.2f}")
        stages = self.stages()
        if stages["outputs.neuprint"]["action"] == "run":
            size_of_stage = self.size_of("neuprint")
            alone, stage = self.writing(size_of_stage), stages["outputs.neuprint"]["seconds"]
            say(f"  neuPrint stage {stage:.1f} s for {size_of_stage:,} bytes; to write these alone {alone:.1f} s")
        rerun = self.rerun()
        if "run" in {stage["action"] for stage in self.stages().values()}:
            raise Failed("a stage ran again although all was up to date")
        say(f"  again, all up to date: {described(rerun)}")
        shutil.rmtree(self.data / "output")
        return {
            "psds": self.psds,
            "memory-limit": self.memory_limit,
            "reports": self.reports,
            "input-bytes": sum((self.data / f"{name}.feather").stat().st_size for name in self.tables),
            "output-bytes": size,
            "runs": [asdict(usage) for usage in products],
            "lower-bounds": [asdict(usage) for usage in bounds],
            "ratios": [a.wall / b.wall for a, b in zip(products, bounds, strict=False)],
            "rerun": asdict(rerun),
            "stages-of-last-run": stages,
        }

    def stages(self) -> dict[str, dict[str, Any]]:
        """What the run says about its stages: action, seconds, rows, peak memory."""
        summary = json.loads((self.data / "output" / "run-summary.json").read_text())
        stages: dict[str, dict[str, Any]] = summary["stages"]
        return stages

    def written(self) -> int:
        """Bytes of the results."""
        return sum(self.size_of(name) for name in ("flat-connectome", "tables", "nt", "neuprint", "reports"))

    def size_of(self, folder: str) -> int:
        """Bytes of one folder of results."""
        return sum(path.stat().st_size for path in (self.data / "output" / folder).rglob("*") if path.is_file())

    def writing(self, size: int) -> float:
        """Seconds that it takes to write so many bytes to one file, and to flush them."""
        os.sync()
        path, start = self.data / "written", time.perf_counter()
        block = os.urandom(1 << 24)
        with path.open("wb") as file:
            while size > 0:
                size -= file.write(block[:size])
            file.flush()
            os.fsync(file.fileno())
        seconds = time.perf_counter() - start
        path.unlink()
        return seconds


def say(text: str) -> None:
    print(text, flush=True)


def described(usage: Usage) -> str:
    """One measurement in a line."""
    text = f"{usage.wall:.2f} s (user {usage.user:.2f}, system {usage.system:.2f}), peak RSS {usage.rss / 1e9:.2f} GB"
    if usage.group_peak is not None:
        text += f", peak of the group {usage.group_peak / 1e9:.2f} GB"
    return text if not usage.kills else f"{text}, {usage.kills} processes killed"


def table(result: dict[str, Any]) -> str:
    """Medians, with ranges, of one size."""
    rows = [("", "run", "lower bound")]
    both = (result["runs"], result["lower-bounds"])

    def row(name: str, value: Callable[[dict[str, Any]], float], digits: int = 2) -> None:
        rows.append((name, *(spread([value(usage) for usage in usages], digits) for usages in both)))

    row("wall, s", lambda usage: usage["wall"])
    row("user, s", lambda usage: usage["user"])
    row("system, s", lambda usage: usage["system"])
    row("peak RSS, GB", lambda usage: usage["rss"] / 1e9)
    row("PSDs/s", lambda usage: result["psds"] / usage["wall"], 0)
    if result["ratios"]:
        rows.append(("ratio of each pair", spread(result["ratios"], 2), ""))
    if result["runs"][0]["group_peak"] is not None:
        row("peak of the group, GB", lambda usage: usage["group_peak"] / 1e9)
    rows.append(("again, all up to date, s", f"{result['rerun']['wall']:.2f}", ""))
    heading = f"{result['psds']:,} PSDs, memory-limit {result['memory-limit']}, "
    heading += f"{result['input-bytes']:,} bytes read, {result['output-bytes']:,} bytes written"
    return "\n".join([heading, *(f"  {name:26}{a:>38}{b:>38}".rstrip() for name, a, b in rows)])


def spread(values: list[float], digits: int) -> str:
    """The median, and the smallest and largest value."""
    if not values:
        return "-"
    return f"{median(values):,.{digits}f}  ({min(values):,.{digits}f} to {max(values):,.{digits}f})"


def machine() -> dict[str, Any]:
    """What the figures were measured with."""
    names = ("flyem-snapshot", "duckdb", "pyarrow", "pandas")
    return {
        "cpus": available_cpus(),
        "memory": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "load-before": os.getloadavg()[0],
        "system": platform.platform(),
        "python": platform.python_version(),
        **{name: version(name) for name in names},
    }


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure whole runs on synthetic connectomes.")
    parser.add_argument("--psds", type=int, default=20_000_000, help="size of the connectome (default: 20 million)")
    parser.add_argument("--memory-limit", default="2GB", help="job-settings.memory-limit (default: 2GB)")
    parser.add_argument("--repeat", type=int, default=3, help="how many pairs of runs (default: 3)")
    parser.add_argument("--cap", type=parse_size, help="hold each process of the large size to this, such as 8GB")
    parser.add_argument("--no-lower-bound", action="store_true", help="measure the product only")
    parser.add_argument(
        "--neuprint", choices=("plain", "gzip"), help="make the neuPrint database as well, compressed or not"
    )
    parser.add_argument("--only", action="store_true", help=f"leave out the size of {SMALL:,} PSDs")
    parser.add_argument("--reports", type=int, default=0, help="also make so many connectivity reports (default: none)")
    parser.add_argument("--neurotransmitters", action="store_true", help="also predict neurotransmitters")
    parser.add_argument("--out", type=Path, default=HERE / "output", help="folder for data and results")
    return parser.parse_args()


def main() -> int:
    arguments = parse()
    out: Path = arguments.out.resolve()
    cap = Cap(arguments.cap)
    sizes = [(arguments.psds, arguments.memory_limit, cap)]
    if arguments.psds != SMALL and not arguments.only:
        sizes.insert(0, (SMALL, arguments.memory_limit, Cap(None)))
    report = {"machine": machine(), "cap": arguments.cap, "cap-by": str(cap), "sizes": []}
    say(", ".join(f"{name} {value}" for name, value in report["machine"].items()) + f"\ncap: {cap}")
    try:
        for psds, memory_limit, size_cap in sizes:
            say(f"\n{psds:,} PSDs")
            benchmark = Benchmark(
                psds,
                memory_limit,
                size_cap,
                out,
                arguments.neuprint,
                arguments.reports,
                nt=arguments.neurotransmitters,
            )
            report["sizes"].append(benchmark.run(arguments.repeat, bound=not arguments.no_lower_bound))
    except Failed as failure:
        say(str(failure))
        return 1
    say("\nmedian (smallest to largest):\n")
    say("\n\n".join(table(result) for result in report["sizes"]))
    path = out / f"results-{arguments.psds}{f'-cap-{arguments.cap}' if arguments.cap else ''}.json"
    path.write_text(json.dumps(report, indent=2) + "\n")
    say(f"\n{path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
