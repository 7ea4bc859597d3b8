"""What became of roots: which are current, what they were before, and who changed them."""

from __future__ import annotations

import abc
import json
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from flyem_snapshot.cave.encoding import id_array, id_list, one_id
from flyem_snapshot.cave.http import Incomplete
from flyem_snapshot.cave.service import record
from flyem_snapshot.cave.times import from_posix, parsed, posix_seconds

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from flyem_snapshot.cave.service import Service

BATCH: Final = 10_000
"""Ids a request; they are sent as JSON."""


class History(abc.ABC):
    """The part of a chunked graph's interface that asks about edits.  All of it only reads."""

    def __init__(self, service: Service) -> None:
        self._service = service

    @property
    def server_version(self) -> str | None:
        """The version of the service's software; None if it does not say."""
        return self._service.software_version()

    def is_latest_roots(self, root_ids: Any, timestamp: datetime | None = None) -> NDArray[np.bool_]:
        """Whether each id was a current root at that time (by default now), bool of shape (N,)."""
        ids = id_array(root_ids)
        params = {"timestamp": _seconds(timestamp)}
        parts = [
            self._service.ask(
                f"{self._base()}/is_latest_roots",
                {"node_ids": batch},
                _list_of(bool, "is_latest", batch),
                params=params,
            )
            for batch in _batches(ids)
        ]
        return np.array([latest for part in parts for latest in part], np.bool_)

    def get_root_timestamps(
        self, root_ids: Any, latest: bool = False, timestamp: datetime | None = None
    ) -> list[datetime]:
        """When each root came to be, in UTC; with `latest` when it was last known to be a root."""
        params = {"latest": latest, "timestamp": _seconds(timestamp)} if latest or timestamp else {}
        moments: list[datetime] = []
        for batch in _batches(id_array(root_ids)):
            body = {"node_ids": batch}
            path = f"{self._base()}/root_timestamps"
            found = self._service.ask(path, body, _list_of(float, "timestamp", batch), params=params)
            moments += [from_posix(seconds) for seconds in found]
        return moments

    def get_past_ids(
        self, root_ids: Any, timestamp_past: datetime | None = None, timestamp_future: datetime | None = None
    ) -> dict[str, dict[int, list[int]]]:
        """For each root, those that its supervoxels belonged to at a time before, and after.

        {"past_id_map": {root: [roots at timestamp_past]}, "future_id_map": {root: [roots at timestamp_future]}}
        """

        def read(answer: Any) -> dict[str, dict[int, list[int]]]:
            maps = record(answer)
            return {key: _by_id(maps.get(key) or {}) for key in ("past_id_map", "future_id_map")}

        body = {"root_ids": id_list(root_ids)}
        params = _between(timestamp_past, timestamp_future)
        return self._service.get(f"{self._base()}/past_id_mapping", read, params=params, body=body)

    def get_lineage_graph(
        self, root_ids: Any, timestamp_past: datetime | None = None, timestamp_future: datetime | None = None
    ) -> dict[str, Any]:
        """How roots came from each other, as networkx's node-link form: `nodes` (`id`, `operation_id`, `timestamp`),
        `links` (`source`, `target`), `directed`, `multigraph`, `graph`.
        """
        path = f"{self._base()}/lineage_graph_multiple"
        params = _between(timestamp_past, timestamp_future)
        return self._service.ask(path, {"root_ids": id_list(root_ids)}, record, params=params)

    def get_latest_roots(self, root_id: int, timestamp: datetime | None = None) -> NDArray[np.int64]:
        """The roots that a root has become by a time (by default now), int64, ascending; itself if it still is one."""
        graph = self.get_lineage_graph(root_id, timestamp_future=timestamp)
        return _ends(graph, one_id(root_id), "source", "target")

    def get_original_roots(self, root_id: int, timestamp_past: datetime | None = None) -> NDArray[np.int64]:
        """The roots that a root came from, int64, ascending; itself if nothing happened before."""
        graph = self.get_lineage_graph(root_id, timestamp_past)
        return _ends(graph, one_id(root_id), "target", "source")

    def get_merge_log(self, root_id: int) -> dict[str, Any]:
        """The merges that made a root: `merge_edges` (pairs of supervoxels), `merge_edge_coords` (pairs of points)."""
        return self._service.get(f"{self._base()}/root/{one_id(root_id)}/merge_log", record)

    def get_change_log(self, root_id: int, filtered: bool = True) -> dict[str, Any]:
        """The edits that made a root: `n_mergers`, `n_splits`, `operations_ids`, `past_ids`, `user_info`.

        `filtered` leaves out edits of pieces that no longer belong to the root.
        """
        path = f"{self._base()}/root/{one_id(root_id)}/change_log"
        return self._service.get(path, record, params={"filtered": filtered})

    def get_tabular_change_log(self, root_ids: Any, filtered: bool = True) -> dict[int, dict[str, list[Any]]]:
        """Root -> its edits as columns of equal length: `operation_id`, `timestamp`, `user_id`, `is_merge`, ..."""

        def read(answer: Any) -> dict[int, dict[str, list[Any]]]:
            return {int(root): _columns(table) for root, table in record(answer).items()}

        path = f"{self._base()}/tabular_change_log_many"
        body = {"root_ids": id_list(root_ids)}
        return self._service.get(path, read, params={"filtered": filtered}, body=body)

    def get_operation_details(self, operation_ids: Any) -> dict[int, dict[str, Any]]:
        """Number of an edit -> its record."""
        wanted = f"[{','.join(map(str, id_list(operation_ids)))}]"

        def read(answer: Any) -> dict[int, dict[str, Any]]:
            return {int(number): details for number, details in record(answer).items()}

        return self._service.get(f"{self._base()}/operation_details", read, params={"operation_ids": wanted})

    def get_delta_roots(
        self, timestamp_past: datetime, timestamp_future: datetime | None = None
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """(roots that were replaced between two times, roots that replaced them), int64."""

        def read(answer: Any) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
            parts = record(answer)
            return _ints(parts.get("old_roots")), _ints(parts.get("new_roots"))

        params = _between(timestamp_past, timestamp_future)
        return self._service.get(f"{self._base()}/delta_roots", read, params=params)

    def get_oldest_timestamp(self) -> datetime:
        """The first moment that can be asked for."""

        def read(answer: Any) -> datetime:
            try:
                return parsed(record(answer)["iso"])
            except (KeyError, ValueError, AttributeError):
                raise Incomplete("it names no time") from None

        return self._service.get(f"{self._base()}/oldest_timestamp", read)

    def is_valid_nodes(
        self, node_ids: Any, start_timestamp: datetime | None = None, end_timestamp: datetime | None = None
    ) -> NDArray[np.bool_]:
        """Whether each id was a root at some time between the two, bool of shape (N,)."""
        ids = id_array(node_ids)
        params = {"start_timestamp": _seconds(start_timestamp), "end_timestamp": _seconds(end_timestamp)}
        path = f"{self._base()}/valid_nodes"
        valid = self._service.get(
            path,
            lambda answer: _ints(record(answer).get("valid_roots")),
            params=params,
            body={"node_ids": ids.tolist()},
        )
        return np.isin(ids, valid.astype(np.uint64))

    @abc.abstractmethod
    def _base(self) -> str:
        """The address of the table that the calls are about."""


def _seconds(timestamp: datetime | None) -> str | None:
    return None if timestamp is None else posix_seconds(timestamp, stacklevel=5)


def _between(past: datetime | None, future: datetime | None) -> dict[str, str | None]:
    return {"timestamp_past": _seconds(past), "timestamp_future": _seconds(future)}


def _batches(ids: NDArray[np.uint64]) -> list[list[int]]:
    return [ids[start : start + BATCH].tolist() for start in range(0, len(ids), BATCH)]


def _list_of(kind: type, key: str, asked: list[int]) -> Callable[[Any], list[Any]]:
    accepted = (int, float) if kind is float else (kind,)

    def read(answer: Any) -> list[Any]:
        listed = record(answer).get(key)
        if not isinstance(listed, list) or len(listed) != len(asked) or not all(type(v) in accepted for v in listed):
            raise Incomplete(f"'{key}' does not hold {len(asked):,} values of type {kind.__name__}")
        return listed

    return read


def _ints(listed: Any) -> NDArray[np.int64]:
    if not isinstance(listed, list) or not all(type(number) is int and 0 <= number < 1 << 63 for number in listed):
        raise Incomplete("a list of ids was expected")
    return np.array(listed, np.int64)


def _by_id(answer: Mapping[str, Any]) -> dict[int, list[int]]:
    return {int(key): _ints(listed).tolist() for key, listed in answer.items()}


def _columns(table: Any) -> dict[str, list[Any]]:
    """A table that comes as text: {column: {row number: value}}."""
    parsed_table = json.loads(table) if isinstance(table, str) else table
    return {name: list(column.values()) for name, column in record(parsed_table).items()}


def _ends(graph: Mapping[str, Any], root: int, tail: str, head: str) -> NDArray[np.int64]:
    """The nodes that can be reached from a root and from which no link leads on."""
    onward: dict[int, list[int]] = {}
    for link in graph.get("links") or []:
        onward.setdefault(int(link[tail]), []).append(int(link[head]))
    seen, waiting, ends = {root}, [root], []
    while waiting:
        node = waiting.pop()
        if not (reached := onward.get(node, [])):
            ends.append(node)
        waiting += [other for other in reached if other not in seen]
        seen.update(reached)
    return np.array(sorted(ends), np.int64)
