"""Serve a large synthetic datastack until interrupted: `python -m tests.cave_double --port 8000 --rows 1000000`."""

from __future__ import annotations

import argparse
import threading

from tests.cave_double.server import QUERY_LIMIT, CaveDouble
from tests.cave_double.synthetic import synthetic_datastack


def main() -> None:
    """Read the arguments, serve, and stop at Ctrl-C."""
    parser = argparse.ArgumentParser(prog="python -m tests.cave_double", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="TCP port; 0 takes a free one")
    parser.add_argument("--rows", type=int, default=200_000, help="synapses of the datastack")
    parser.add_argument("--schema", default="synapse", help="schema of the synapse table")
    parser.add_argument("--limit", type=int, default=QUERY_LIMIT, help="most rows of an answer")
    arguments = parser.parse_args()
    with CaveDouble(port=arguments.port, log=False) as cave:
        cave.query_limit = arguments.limit
        stack = synthetic_datastack(cave, arguments.rows, schema=arguments.schema)
        sizes = {name: len(frozen.data) for name, frozen in stack.versions[1].tables.items()}
        print(f"{cave.url} datastack {stack.name} version 1 token {cave.token} {sizes}", flush=True)
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            print("stopped")


if __name__ == "__main__":
    main()
