"""Serve a large synthetic repository until interrupted: `python -m tests.dvid_double --port 8000 --points 1000000`."""

from __future__ import annotations

import argparse
import threading

from tests.dvid_double.server import DvidDouble
from tests.dvid_double.synthetic import large_repo


def main() -> None:
    """Read the arguments, serve, and stop at Ctrl-C."""
    parser = argparse.ArgumentParser(prog="python -m tests.dvid_double", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="TCP port; 0 takes a free one")
    parser.add_argument("--points", type=int, default=1_000_000, help="point annotations in the repository")
    arguments = parser.parse_args()
    with DvidDouble(port=arguments.port, log=False) as dvid:
        repo = large_repo(dvid, arguments.points)
        blocks = repo.instances["points"].blocks
        print(f"{dvid.url} {repo.root} volume {64 * blocks}^3, {blocks**3:,} supervoxels", flush=True)
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            print("stopped")


if __name__ == "__main__":
    main()
