"""Time and memory of looking up the bodies of many points in a DVID server; see README.md.

python benchmarks/label_points.py --points 10000000

The server is the tests' own, in its fast mode, on the same machine: its labels are arithmetic, so what is measured is
our side, HTTP and JSON included.  A second run is killed half-way and goes on, to show what an interruption costs.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from flyem_snapshot.engine.session import Engine, Limits
from flyem_snapshot.log import peak_rss_bytes, reset_peak_rss
from flyem_snapshot.sources.dvid.frozen import freeze
from flyem_snapshot.sources.dvid.graph import resolve
from flyem_snapshot.sources.dvid.http import DvidClient
from flyem_snapshot.sources.dvid.labelmap import Labelmap
from flyem_snapshot.sources.pointlabels import label_points
from flyem_snapshot.sources.pointtables import PointTable

ROOT = Path(__file__).resolve().parent.parent
BATCH = 1 << 17


def make_points(path: Path, count: int, side: int) -> None:
    """A table of points all over a cube, in no order."""
    random = np.random.default_rng(1)
    schema = pa.schema([(axis, pa.int32()) for axis in "xyz"])
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, schema) as file:
        for start in range(0, count, BATCH):
            rows = min(BATCH, count - start)
            axes = [pa.array(random.integers(0, side, rows, np.int32)) for _ in "xyz"]
            file.write_batch(pa.record_batch(axes, schema=schema))


def label(points: Path, url: str, folder: Path, mapping: str) -> dict[str, Any]:
    """Look up all points; returns what it took.  A run after a killed one goes on with its answers."""
    folder.mkdir(exist_ok=True)
    scratch = folder / "scratch"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    (folder / "resume").mkdir(exist_ok=True)
    client = DvidClient(url, user="benchmark", threads=8)
    labelmap = Labelmap.open(resolve(client, ":master~1"), "segmentation")
    begin = peak_rss_bytes()
    reset_peak_rss()
    start = time.monotonic()
    with Engine(Limits(1 << 30, 2, folder / "spill")) as engine:
        frozen = freeze(labelmap, scratch / "mapping" if mapping == "whole" else None)
        table = PointTable(points, (), {}, {}, labelled=True)
        labels = label_points(table, frozen, engine, scratch / "labels", folder / "resume")
    seconds = time.monotonic() - start
    return {
        "points": len(labels.body),
        "on-body-0": int(np.count_nonzero(labels.body == 0)),
        "sum": int(np.add.reduce(labels.body.view(np.uint64), dtype=np.uint64)),
        "seconds": round(seconds, 1),
        "points-per-second": round(len(labels.body) / seconds),
        "peak-rss-mb": round(peak_rss_bytes() / 1e6),
        "rss-before-mb": round(begin / 1e6),
        "disk-bytes-per-point": round(
            sum(p.stat().st_size for p in folder.rglob("*") if p.is_file()) / len(labels.body)
        ),
    }


def child(arguments: argparse.Namespace, folder: Path, url: str) -> subprocess.Popen[str]:
    """The same program in a process of its own."""
    command = [sys.executable, __file__, "--child", str(folder), "--url", url, "--mapping", arguments.mapping]
    return subprocess.Popen([*command, "--out", str(arguments.out)], stdout=subprocess.PIPE, text=True)


def main() -> None:
    """Serve, make the points, measure a run, then one that is killed and goes on."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=10_000_000)
    parser.add_argument("--mapping", choices=("batches", "whole"), default="batches")
    parser.add_argument("--out", type=Path, default=Path(tempfile.gettempdir()) / "label-points")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child is not None:
        print(json.dumps(label(arguments.out / "points.feather", arguments.url, arguments.child, arguments.mapping)))
        return
    shutil.rmtree(arguments.out, ignore_errors=True)
    arguments.out.mkdir(parents=True)
    serve = [sys.executable, "-m", "tests.dvid_double", "--points", "1000000"]
    with subprocess.Popen(serve, cwd=ROOT, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            line = server.stdout.readline()
            url, side = line.split()[0], int(re.search(r"volume (\d+)", line)[1])
            make_points(arguments.out / "points.feather", arguments.points, side)
            print(f"load average {os.getloadavg()[0]:.1f}; {line.strip()}")
            whole = json.loads(child(arguments, arguments.out / "whole", url).communicate()[0])
            print(json.dumps({"run": "undisturbed", **whole}))
            killed = child(arguments, arguments.out / "killed", url)
            time.sleep(whole["seconds"] * 0.6)
            killed.send_signal(signal.SIGKILL)
            killed.wait()
            rest = json.loads(child(arguments, arguments.out / "killed", url).communicate()[0])
            print(json.dumps({"run": "after a kill at 60 % of that time", **rest}))
            assert rest["sum"] == whole["sum"]
        finally:
            server.terminate()
    shutil.rmtree(arguments.out)


if __name__ == "__main__":
    main()
