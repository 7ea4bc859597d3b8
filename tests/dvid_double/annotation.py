"""Points with a kind, tags and properties."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from tests.dvid_double.graph import DagNode, Repo, Versioned
from tests.dvid_double.instances import Instance, argument, triple
from tests.dvid_double.replies import Refusal, Reply, Request, json_reply

Block = tuple[int, int, int]


class Annotation(Instance):
    """An instance of type annotation.

    `elements` of a node are kept as they were given, by block x, y, z: fields may be missing or `null`, and a block may
    be `null` or `[]` (`set_block`).
    """

    typename = "annotation"
    endpoints: ClassVar[dict[str, tuple[set[str], str]]] = {
        "all-elements": ({"GET"}, "all_elements"),
        "blocks": ({"GET", "POST"}, "blocks_call"),
        "elements": ({"GET", "POST"}, "elements_call"),
        "label": ({"GET"}, "label_call"),
        "tag": ({"GET"}, "tag_call"),
        "tags": ({"GET", "POST"}, "tags_call"),
    }

    def __init__(self, repo: Repo, name: str, *, block_size: int = 64, synced: Any = None) -> None:
        super().__init__(repo, name)
        self.block_size, self.synced = block_size, synced
        self.elements: Versioned[dict[Block, list[dict[str, Any]] | None]] = Versioned({})

    def described(self) -> dict[str, Any]:
        document = super().described()
        document["Base"]["Syncs"] = [self.synced.data_uuid] if self.synced else None
        return document

    def extended(self) -> dict[str, Any]:
        return {"BlockSize": [self.block_size] * 3}

    # --- for tests --------------------------------------------------------------------------------------------------

    def set(self, uuid: str, elements: Iterable[Mapping[str, Any]]) -> None:
        """Add elements, or replace those at the same position; what a field lacks, it lacks in the answer too."""
        with self.repo.lock:
            self._put(self.repo.open_node(uuid), elements)

    def point(self, uuid: str, zyx: Sequence[int], kind: str = "Note", **props: str) -> None:
        """Add one element with properties, whose values are strings."""
        z, y, x = (int(value) for value in zyx)
        self.set(uuid, [{"Pos": [x, y, z], "Kind": kind, "Tags": [], "Prop": props, "Rels": []}])

    def set_block(self, uuid: str, block_xyz: Block, elements: list[dict[str, Any]] | None) -> None:
        """Replace a whole block, also by `[]` or `null`."""
        with self.repo.lock:
            self.elements.changing(self.repo.open_node(uuid))[block_xyz] = elements

    def remove(self, uuid: str, zyx: Sequence[int]) -> None:
        """Take the element at a position away; its block stays, perhaps empty."""
        with self.repo.lock:
            position = [int(value) for value in reversed(list(zyx))]
            blocks = self.elements.changing(self.repo.open_node(uuid))
            block = self.block_of(position)
            blocks[block] = [e for e in blocks[block] or [] if e["Pos"] != position]

    def block_of(self, position: Sequence[int]) -> Block:
        """The block x, y, z of a position x, y, z."""
        x, y, z = (int(value) // self.block_size for value in position)
        return x, y, z

    def _put(self, node: DagNode, elements: Iterable[Mapping[str, Any]]) -> None:
        blocks = self.elements.changing(node)
        for element in elements:
            block = self.block_of(element["Pos"])
            others = [e for e in blocks.get(block) or [] if e["Pos"] != element["Pos"]]
            blocks[block] = [*others, copy.deepcopy(dict(element))]

    # --- over HTTP --------------------------------------------------------------------------------------------------

    def all_elements(self, request: Request, node: DagNode, rest: list[str]) -> Reply:
        """Every block, streamed one by one."""
        if rest:
            raise Refusal("all-elements takes no further parts of the path")
        return streamed(self.elements.at(node))

    def blocks_call(self, request: Request, node: DagNode, rest: list[str]) -> Reply:
        """The blocks that touch a box, with all that is in them."""
        if request.method == "POST":
            for name, elements in request.json().items():
                x, y, z = (int(part) for part in name.split(","))
                self.elements.changing(node)[x, y, z] = elements
            return Reply()
        start, stop = box(rest)
        low = start // self.block_size
        high = -(-stop // self.block_size)
        inside = {b: e for b, e in self.elements.at(node).items() if (b >= low).all() and (b < high).all()}
        return streamed(inside)

    def elements_call(self, request: Request, node: DagNode, rest: list[str]) -> Reply:
        """The elements inside a box, as a list."""
        if request.method == "POST":
            self._put(node, request.json())
            return Reply()
        start, stop = box(rest)
        return self._listed(e for e in self._all(node) if (start <= e["Pos"]).all() and (e["Pos"] < stop).all())

    def label_call(self, request: Request, node: DagNode, rest: list[str]) -> Reply:
        """The elements on a body, where the instance is synced to a labelmap."""
        label = int(argument(rest, 0, "a label"))
        if self.synced is None or label == 0:
            raise Refusal("no synced labels, or label 0")
        return self._listed(e for e in self._all(node) if self.synced.body_at(node.uuid, e["Pos"][::-1]) == label)

    def tag_call(self, request: Request, node: DagNode, rest: list[str]) -> Reply:
        """The elements with a tag."""
        tag = argument(rest, 0, "a tag")
        return self._listed(e for e in self._all(node) if tag in (e.get("Tags") or []))

    def tags_call(self, request: Request, node: DagNode, rest: list[str]) -> Reply:
        """Tags of the instance itself."""
        return json_reply({"Tags": {}})

    def _all(self, node: DagNode) -> Iterable[dict[str, Any]]:
        return (element for block in self.elements.at(node).values() for element in block or [])

    def _listed(self, elements: Iterable[dict[str, Any]]) -> Reply:
        found = list(elements)
        return json_reply(found if found or self.dvid.abilities.empty_lists else None)


def streamed(blocks: Mapping[Block, Any]) -> Reply:
    """Blocks by name `bx,by,bz`, each a part of its own, in order of storage (z, y, x)."""
    parts = [json_reply({",".join(map(str, b)): blocks[b]}).body[1:-1] for b in sorted(blocks, key=lambda b: b[::-1])]
    body = [b"{", *((b"," if number else b"") + part for number, part in enumerate(parts)), b"}"]
    return Reply(body, "application/json")


def box(rest: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """`{size}/{offset}` of a path as the first position x, y, z and the one after the last."""
    size, start = triple(argument(rest, 0, "a size")), triple(argument(rest, 1, "an offset"))
    return np.array(start), np.array(start) + np.array(size)
