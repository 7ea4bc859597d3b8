"""The chunked graph: the root of a supervoxel at a moment, the supervoxels of a root, and what became of roots."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from flyem_snapshot.cave import paths
from flyem_snapshot.cave.encoding import id_array, id_list, one_id
from flyem_snapshot.cave.history import History
from flyem_snapshot.cave.http import Call, Incomplete, segment
from flyem_snapshot.cave.service import Service, record
from flyem_snapshot.cave.times import posix_seconds

if TYPE_CHECKING:
    import requests
    from numpy.typing import NDArray

    from flyem_snapshot.cave.http import Transport
    from flyem_snapshot.cave.info import InfoClient

logger = logging.getLogger(__name__)

BATCH: Final = 500_000
"""Ids a request: 4 MB each way."""


class ChunkedGraphClient(History):
    """The segmentation of a datastack.  `timestamp` is an aware datetime, by default now.

    A time without a zone is taken to be UTC, with a warning.  Ids may be given as int, list, array of integers, Series
    or Arrow array, never as floats.  Nothing here changes the graph.
    """

    def __init__(
        self,
        transport: Transport,
        server: Callable[[], str],
        info: InfoClient,
        api_version: int | None = None,
    ) -> None:
        service = Service(
            transport,
            "chunkedgraph",
            server,
            speaks=(1,),
            versions="segmentation/api/versions",
            software="segmentation/api/version",
            chosen=api_version,
        )
        super().__init__(service)
        self._info = info

    def __repr__(self) -> str:
        return f"<ChunkedGraphClient of {self._info.datastack_name}>"

    @cached_property
    def table_name(self) -> str:
        """The name of the graph's table, from the datastack's record."""
        source = self._info.segmentation_source() or ""
        try:
            return paths.graph_table(source)
        except ValueError as error:
            path = f"segmentation/table/{self._info.datastack_name}"
            hint = "this datastack may have a flat segmentation only"
            raise self._service.odd(path, f"its segmentation is no chunked graph: {error}", hint=hint) from None

    @property
    def cloudvolume_path(self) -> str:
        """The address of the segmentation for cloud-volume."""
        return f"graphene://{self._service.server}/segmentation/table/{self.table_name}"

    @cached_property
    def segmentation_info(self) -> dict[str, Any]:
        """The description of the volume: scales, chunk sizes, number of layers; asked for once."""
        return self._service.get(f"segmentation/table/{segment(self.table_name)}/info", record)

    @property
    def base_resolution(self) -> tuple[float, float, float]:
        """Nanometres of a voxel of the graph along x, y and z."""
        try:
            x, y, z = (float(size) for size in self.segmentation_info["scales"][0]["resolution"])
        except (KeyError, IndexError, TypeError, ValueError):
            path = f"segmentation/table/{self.table_name}/info"
            raise self._service.odd(path, "it does not say how large a voxel is") from None
        return x, y, z

    def get_root_id(self, supervoxel_id: int, timestamp: datetime | None = None, stop_layer: int | None = None) -> int:
        """The root of a supervoxel, or with `stop_layer` its ancestor in that layer."""
        params = {"timestamp": posix_seconds(timestamp or datetime.now(UTC)), "stop_layer": stop_layer}
        path = f"{self._base()}/node/{one_id(supervoxel_id)}/root"
        return self._service.get(path, lambda answer: _id_in(record(answer), "root_id"), params=params)

    def get_roots(
        self, supervoxel_ids: Any, timestamp: datetime | None = None, stop_layer: int | None = None
    ) -> NDArray[np.uint64]:
        """The root of each supervoxel, uint64 of shape (N,), in your order; 0 for 0 and for what is unknown.

        All at the same moment, also where no time is given.  Each id is asked for once, sorted, in batches of 500,000.
        Memory: about 40 bytes an id.
        """
        ids, where = np.unique(id_array(supervoxel_ids), return_inverse=True)
        # Taken once: the graph may change between two batches.
        seconds = posix_seconds(timestamp or datetime.now(UTC))
        roots = np.zeros(len(ids), np.uint64)
        for start, stop, part in self._batches(ids, seconds, stop_layer):
            roots[start:stop] = part
        return roots[where]

    def get_root_ids(
        self, supervoxel_ids: Any, timestamp: datetime | None = None, stop_layer: int | None = None
    ) -> NDArray[np.uint64]:
        """The same as `get_roots`, by the name that the tutorial uses."""
        return self.get_roots(supervoxel_ids, timestamp, stop_layer)

    def root_batches(
        self, supervoxel_ids: Any, timestamp: datetime, *, start: int = 0
    ) -> Iterator[tuple[int, int, NDArray[np.uint64]]]:
        """(start, stop, the roots of ids[start:stop]) batch by batch, for look-ups that may be interrupted.

        Keep what came, and go on with `start=` that of the first that is missing and the same `timestamp`.
        """
        seconds = posix_seconds(timestamp)
        return self._batches(id_array(supervoxel_ids), seconds, None, first=start)

    def get_leaves(self, root_id: int, bounds: Any = None, stop_layer: int | None = None) -> NDArray[np.int64]:
        """The supervoxels of a root, int64; with `stop_layer` its descendants in that layer.

        `bounds`, ((x0, x1), (y0, y1), (z0, z1)) in voxels of the graph, leaves out what lies outside.  A root never
        changes, so there is no time to give.
        """
        params = {"bounds": _bounds(bounds), "stop_layer": stop_layer}
        path = f"{self._base()}/node/{one_id(root_id)}/leaves"
        return self._service.get(path, lambda answer: _ids_in(record(answer), "leaf_ids"), params=params)

    def get_leaves_many(
        self, root_ids: Any, bounds: Any = None, stop_layer: int | None = None
    ) -> dict[int, NDArray[np.int64]]:
        """Root -> its supervoxels, as `get_leaves` gives them, for several roots."""
        params = {"bounds": _bounds(bounds), "stop_layer": stop_layer}
        return self._service.ask(
            f"{self._base()}/node/leaves_many", {"node_ids": id_list(root_ids)}, _leaves_by_root, params=params
        )

    def get_children(self, node_id: int) -> NDArray[np.int64]:
        """The nodes right below a node, int64."""
        path = f"{self._base()}/node/{one_id(node_id)}/children"
        return self._service.get(path, lambda answer: _ids_in(record(answer), "children_ids"))

    def get_subgraph(
        self, root_id: int, bounds: Any
    ) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.float32]]:
        """The edges between supervoxels of a root within `bounds`: ids of shape (N, 2), affinities and areas (N,)."""

        def read(answer: Any) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.float32]]:
            parts = record(answer)
            nodes, affinities, areas = (parts.get(key) for key in ("nodes", "affinities", "areas"))
            edges = _pairs(nodes)
            if not all(isinstance(part, list) and len(part) == len(edges) for part in (affinities, areas)):
                raise Incomplete("edges, affinities and areas differ in number")
            return edges, np.array(affinities, np.float32), np.array(areas, np.float32)

        path = f"{self._base()}/node/{one_id(root_id)}/subgraph"
        return self._service.get(path, read, params={"bounds": _bounds(bounds)})

    def level2_chunk_graph(self, root_id: int, bounds: Any = None) -> NDArray[np.int64]:
        """The edges between the second-layer nodes of a root, ids of shape (N, 2)."""
        path = f"{self._base()}/node/{one_id(root_id)}/lvl2_graph"
        return self._service.get(
            path, lambda answer: _pairs(record(answer).get("edge_graph")), params={"bounds": _bounds(bounds)}
        )

    def _base(self) -> str:
        return f"segmentation/api/v{self._service.version}/table/{segment(self.table_name)}"

    def _batches(
        self, ids: NDArray[np.uint64], seconds: str, stop_layer: int | None, *, first: int = 0
    ) -> Iterator[tuple[int, int, NDArray[np.uint64]]]:
        url = f"{self._service.server}/{self._base()}/roots_binary"
        params = {"timestamp": seconds, "stop_layer": stop_layer}
        for start in range(first, len(ids), BATCH):
            batch = ids[start : start + BATCH]
            call = Call("POST", url, params, batch.tobytes(), kind="application/octet-stream")
            yield start, start + len(batch), self._service.transport.send(call, _roots_of(len(batch)))
            if len(ids) > BATCH:
                logger.info("roots: %s of %s", f"{start + len(batch):,}", f"{len(ids):,}")


def _roots_of(count: int) -> Callable[[requests.Response], NDArray[np.uint64]]:
    def read(response: requests.Response) -> NDArray[np.uint64]:
        if len(response.content) != 8 * count:
            raise Incomplete(f"{len(response.content):,} bytes came for {count:,} ids of 8 bytes")
        return np.frombuffer(response.content, "<u8")

    return read


def _id_in(answer: Mapping[str, Any], key: str) -> int:
    if type(number := answer.get(key)) is not int:
        raise Incomplete(f"'{key}' is not an integer")
    return number


def _ids_in(answer: Mapping[str, Any], key: str) -> NDArray[np.int64]:
    return _ids(answer.get(key), key)


def _ids(listed: Any, what: str) -> NDArray[np.int64]:
    if not isinstance(listed, list) or not all(type(number) is int and number < 1 << 63 for number in listed):
        raise Incomplete(f"'{what}' is not a list of ids")
    return np.array(listed, np.int64)


def _leaves_by_root(answer: Any) -> dict[int, NDArray[np.int64]]:
    return {int(root): _ids(leaves, "leaves") for root, leaves in record(answer).items()}


def _pairs(listed: Any) -> NDArray[np.int64]:
    if not isinstance(listed, list) or not all(isinstance(pair, list) and len(pair) == 2 for pair in listed):
        raise Incomplete("a list of pairs of ids was expected")
    return _ids([number for pair in listed for number in pair], "edges").reshape(-1, 2)


def _bounds(bounds: Any) -> str | None:
    """`x0-x1_y0-y1_z0-z1`; ValueError unless the bounds are three pairs."""
    if bounds is None:
        return None
    array = np.asarray(bounds)
    if array.shape != (3, 2):
        raise ValueError(f"bounds are ((x0, x1), (y0, y1), (z0, z1)), not of shape {array.shape}")
    return "_".join(f"{int(low)}-{int(high)}" for low, high in array)
