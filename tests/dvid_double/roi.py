"""Regions of interest: spans of blocks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

import numpy as np

from tests.dvid_double.graph import DagNode, Repo, Versioned
from tests.dvid_double.instances import Instance
from tests.dvid_double.replies import Refusal, Reply, Request, json_reply


class Roi(Instance):
    """An instance of type roi; spans are `[z, y, x0, x1]` in blocks, x1 included."""

    typename = "roi"
    read_only_posts: ClassVar[set[str]] = {"ptquery"}
    endpoints: ClassVar[dict[str, tuple[set[str], str]]] = {
        "roi": ({"GET", "POST", "DELETE"}, "spans_call"),
        "ptquery": ({"POST"}, "ptquery"),
    }

    def __init__(self, repo: Repo, name: str, block_size: int = 32) -> None:
        super().__init__(repo, name)
        self.block_size = block_size
        self.spans: Versioned[list[list[int]]] = Versioned([])

    def extended(self) -> dict[str, Any]:
        return {"BlockSize": [self.block_size] * 3, "MinZ": 0, "MaxZ": 0}

    def set(self, uuid: str, spans: Iterable[Sequence[int]]) -> None:
        """Replace the region."""
        with self.repo.lock:
            self.spans.put(self.repo.open_node(uuid), in_order(spans))

    def set_blocks(self, uuid: str, inside: np.ndarray, corner_zyx: Sequence[int] = (0, 0, 0)) -> None:
        """Replace the region by the blocks that are true in an array (z, y, x), which begins at a block."""
        blocks = np.argwhere(inside) + np.asarray(corner_zyx)
        self.set(uuid, ([int(z), int(y), int(x), int(x)] for z, y, x in blocks))

    def spans_call(self, request: Request, node: DagNode, rest: list[str]) -> Reply:
        """Read, replace or empty the region."""
        if request.method == "POST":
            spans = request.json()
            if not all(len(span) == 4 and all(type(value) is int for value in span) for span in spans):
                raise Refusal("expected a JSON list of spans [z, y, x0, x1]")
            self.spans.put(node, in_order(spans))
        elif request.method == "DELETE":
            self.spans.put(node, [])
        else:
            return json_reply(self.spans.at(node))
        return Reply()

    def ptquery(self, request: Request, node: DagNode, rest: list[str]) -> Reply:
        """Whether each voxel `[x, y, z]` lies inside."""
        spans = self.spans.at(node)
        inside = {(z, y, x) for z, y, x0, x1 in spans for x in range(x0, x1 + 1)}
        size = self.block_size  # Go divides towards zero: wrong for negative coordinates, as with the real one
        return json_reply([tuple(int(c / size) for c in (z, y, x)) in inside for x, y, z in request.json()])


def in_order(spans: Iterable[Sequence[int]]) -> list[list[int]]:
    """Spans sorted by z, y, x0, neighbours in x joined."""
    joined: list[list[int]] = []
    for z, y, x0, x1 in sorted([int(v) for v in span] for span in spans):
        if joined and joined[-1][:2] == [z, y] and x0 <= joined[-1][3] + 1:
            joined[-1][3] = max(joined[-1][3], x1)
        else:
            joined.append([z, y, x0, x1])
    return joined
