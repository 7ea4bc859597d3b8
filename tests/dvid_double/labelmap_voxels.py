"""What a labelmap answers about voxels: points, blocks, dense volumes."""

from __future__ import annotations

import gzip
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from tests.dvid_double import blocks
from tests.dvid_double.graph import DagNode
from tests.dvid_double.instances import Instance, argument, triple
from tests.dvid_double.labelmap_calls import mishandled, points_of
from tests.dvid_double.replies import Panic, Refusal, Reply, Request, json_reply

if TYPE_CHECKING:
    from tests.dvid_double.labels import Labels

Block = tuple[int, int, int]
COMPRESSIONS = {"lz4", "gzip", "blocks", "uncompressed"}
LARGEST_RAW = 3 << 30


class LabelmapVoxels(Instance):
    """The calls that deal in voxels; `Labelmap` has the state."""

    endpoints: ClassVar[dict[str, tuple[set[str], str]]] = {
        "label": ({"GET"}, "get_label"),
        "labels": ({"GET"}, "get_labels"),
        "blocks": ({"GET"}, "get_blocks"),
        "specificblocks": ({"GET"}, "get_specific_blocks"),
        "raw": ({"GET", "POST"}, "raw"),
    }

    if TYPE_CHECKING:
        state: Any
        max_labels: dict[str, int]
        next_label: int
        voxel_size: tuple[float, float, float]
        block_size: int
        max_scale: int
        stored_compression: str

        def _write(self, node: DagNode, cube: np.ndarray, offset: tuple[int, int, int]) -> None: ...

    # --- what it is -------------------------------------------------------------------------------------------------

    def extended(self, node: DagNode | None = None) -> dict[str, Any]:
        """Sizes, extents and labels; extents are `null` before any write."""
        node = node or self.repo.node(self.repo.root)
        blocks_zyx = self.state.at(node).extent()
        box: dict[str, Any] = dict.fromkeys(("MinPoint", "MaxPoint", "MinIndex", "MaxIndex"))
        if blocks_zyx is not None:
            low, high = (corner[::-1] for corner in blocks_zyx)
            box = {"MinPoint": (low * self.block_size).tolist(), "MaxPoint": (high * self.block_size - 1).tolist()}
            box |= {"MinIndex": low.tolist(), "MaxIndex": (high - 1).tolist()}
        return {
            "Values": [{"DataType": "uint64", "Label": self.name}],
            "BlockSize": [self.block_size] * 3,
            "VoxelSize": list(self.voxel_size),
            "VoxelUnits": ["nanometers"] * 3,
            **box,
            "MaxLabel": {str(self.repo.node(uuid).version_id): label for uuid, label in self.max_labels.items()},
            "MaxRepoLabel": max(self.max_labels.values(), default=0),
            "NextLabel": 0,
            "IndexedLabels": True,
            "MaxDownresLevel": self.max_scale,
            "GridStore": "",
            "ScaleLevel": 0,
        }

    def info(self, node: DagNode) -> Reply:
        """`GET info`, with the extents once more on top."""
        extended = self.extended(node)
        extents = {name: extended[name] for name in ("MinPoint", "MaxPoint")}
        return json_reply({**self.described(), "Extended": extended, "Extents": extents})

    # --- points -----------------------------------------------------------------------------------------------------

    def get_label(self, request: Request, node: DagNode, rest: list[str]) -> Reply:
        """The label of one voxel."""
        point = np.array([triple(argument(rest, 0, "a point"))])
        return json_reply({"Label": self._labels_at(request, node, point)[0]})

    def get_labels(self, request: Request, node: DagNode, rest: list[str]) -> Reply:
        """The labels of many voxels, in their order."""
        request.check_hash()
        return json_reply(self._labels_at(request, node, self._points(request)))

    def _points(self, request: Request) -> np.ndarray:
        return points_of(request)

    def _labels_at(self, request: Request, node: DagNode, points: np.ndarray) -> list[int]:
        if (points < 0).any():
            points = mishandled(points, self.block_size)
        state: Labels = self.state.at(node)
        svs = state.at(points[:, ::-1] << self._scale(request))
        return (svs if request.flag("supervoxels") else state.mapped(svs)).tolist()

    def _scale(self, request: Request) -> int:
        scale = int(request.args.get("scale") or 0)
        if not 0 <= scale <= self.max_scale:
            raise Refusal(f"scale {scale} is beyond the highest one, {self.max_scale}")
        return scale

    # --- blocks -----------------------------------------------------------------------------------------------------

    def get_blocks(self, request: Request, node: DagNode, rest: list[str]) -> Reply:
        """The blocks of an aligned box, in any order, without those that are absent."""
        size, start = np.array(triple(argument(rest, 0, "a size"))), np.array(triple(argument(rest, 1, "an offset")))
        if (size % self.block_size).any() or (start % self.block_size).any() or (size <= 0).any():
            raise Refusal(f"size {rest[0]} and offset {rest[1]} must be multiples of the block size")
        low, count = start // self.block_size, size // self.block_size
        wanted = [
            (int(low[0] + x), int(low[1] + y), int(low[2] + z))
            for z in range(count[2])
            for y in range(count[1])
            for x in range(count[0])
        ]
        if self.dvid.shuffle:
            np.random.default_rng(len(wanted)).shuffle(wanted)
        return self._block_stream(request, node, wanted, request.args.get("compression") or "lz4")

    def get_specific_blocks(self, request: Request, node: DagNode, rest: list[str]) -> Reply:
        """Listed blocks."""
        try:
            numbers = [int(part) for part in request.args.get("blocks", "").split(",")]
            wanted = list(zip(numbers[::3], numbers[1::3], numbers[2::3], strict=True))
        except ValueError as error:
            raise Refusal("blocks must be x,y,z,x,y,z,...") from error
        return self._block_stream(request, node, wanted, request.args.get("compression") or "blocks")

    def _block_stream(self, request: Request, node: DagNode, wanted: Iterable[Block], compression: str) -> Reply:
        if compression not in COMPRESSIONS:
            raise Refusal(f"unknown compression {compression!r}")
        scale, supervoxels = self._scale(request), request.flag("supervoxels")

        def records() -> Iterator[bytes]:
            for corner in wanted:
                with self.repo.lock:
                    cube = self._block(node, corner, scale)
                    mapped = cube if supervoxels or cube is None else self._mapped(node, cube)
                if cube is not None and mapped is not None:
                    as_stored = compression == "blocks" and self.stored_compression and (mapped == cube).all()
                    form = self.stored_compression if as_stored else compression
                    yield blocks.record(corner, blocks.payload(mapped, form))

        return Reply(records())

    def _block(self, node: DagNode, corner: Block, scale: int) -> np.ndarray | None:
        """A block of supervoxels (zyx); None if nothing was written there."""
        side = self.block_size
        cube = self.state.at(node).box(np.array(corner[::-1]) * side, (side,) * 3, scale)
        return cube if cube.any() else None

    def _mapped(self, node: DagNode, cube: np.ndarray) -> np.ndarray:
        return self.state.at(node).mapped(cube.reshape(-1)).reshape(cube.shape)

    # --- dense ------------------------------------------------------------------------------------------------------

    def raw(self, request: Request, node: DagNode, rest: list[str]) -> Reply:
        """A box of any place and size, as one array; or a POST of supervoxels."""
        if argument(rest, 0, "axes") != "0_1_2":
            raise Refusal("only 0_1_2 is a volume")
        size, start = triple(argument(rest, 1, "a size")), triple(argument(rest, 2, "an offset"))
        shape, corner = (size[2], size[1], size[0]), (start[2], start[1], start[0])
        if min(size) <= 0 or 8 * size[0] * size[1] * size[2] > LARGEST_RAW:
            raise Refusal(f"size {rest[1]} is not possible")
        if request.method == "POST":
            return self._post_raw(request, node, shape, corner)
        scale, compression = self._scale(request), request.args.get("compression", "")
        self._one_block_trap(node, np.array(size), np.array(start), scale, compression)
        cube = self.state.at(node).box(np.array(corner), shape, scale)
        data = (cube if request.flag("supervoxels") else self._mapped(node, cube)).astype("<u8").tobytes()
        match compression:
            case "":
                return Reply(data)
            case "gzip":
                return Reply(gzip.compress(data, 1))
            case "lz4":
                return Reply(blocks.lz4_literals(data))
        raise Refusal(f"compression {compression!r} is beyond this double")

    def _one_block_trap(self, node: DagNode, size: np.ndarray, start: np.ndarray, scale: int, compression: str) -> None:
        """Exactly one aligned block takes a short way that fails where the block is absent."""
        side = self.block_size
        if (size != side).any() or (start % side).any():
            return
        x, y, z = (int(value) for value in start // side)
        if self._block(node, (x, y, z), scale) is None:
            if compression:
                raise Refusal("unable to get label block")
            raise Panic("runtime error: invalid memory address or nil pointer dereference")

    def _post_raw(self, request: Request, node: DagNode, shape: Block, corner: Block) -> Reply:
        data = gzip.decompress(request.body) if request.args.get("compression") == "gzip" else request.body
        if len(data) != 8 * shape[0] * shape[1] * shape[2]:
            raise Refusal(f"expected {8 * shape[0] * shape[1] * shape[2]} bytes, got {len(data)}")
        self._write(node, np.frombuffer(data, "<u8").reshape(shape), corner)
        return Reply()
