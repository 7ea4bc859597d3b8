"""A labelmap that can be edited from Python, with the log that DVID would keep."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta, timezone
from typing import Any

import numpy as np

from tests.dvid_double.graph import DagNode, Repo, Versioned
from tests.dvid_double.labelmap_calls import LabelmapCalls
from tests.dvid_double.labelmap_voxels import LabelmapVoxels
from tests.dvid_double.labels import Labels
from tests.dvid_double.replies import Refusal

Who = Mapping[str, Any]

EST = timezone(timedelta(hours=-5), "EST")


def go_time(time: datetime, form: int) -> str:
    """A time as Go's `time.String()` prints it: with nine, no or three digits of fraction, in UTC or elsewhere."""
    match form % 4:
        case 0:
            return f"{time:%Y-%m-%d %H:%M:%S}.454557758 +0000 UTC m=+780305.871619215"
        case 1:
            return f"{time:%Y-%m-%d %H:%M:%S} +0000 UTC m=+780366"
        case 2:
            return f"{time.astimezone(EST):%Y-%m-%d %H:%M:%S}.125 -0500 EST m=+0.871619215"
    return f"{time:%Y-%m-%d %H:%M:%S}.5 +0000 UTC"


class Labelmap(LabelmapCalls, LabelmapVoxels):
    """An instance of type labelmap.

    `cube` holds the supervoxels at the root (uint64, zyx), its first voxel at `offset_zyx`.  Bodies are supervoxels at
    first.  Every edit takes the uuid of an open node, changes voxels, map and sizes, and appends a record to that
    node's log.  Keyword arguments of an edit: `user`, `app`, `timestamp` (text as it shall stand; '' for none).
    """

    endpoints = {**LabelmapCalls.endpoints, **LabelmapVoxels.endpoints}  # noqa: RUF012 - as in the base class

    def __init__(
        self,
        repo: Repo,
        name: str,
        cube: np.ndarray | None = None,
        offset_zyx: tuple[int, int, int] = (0, 0, 0),
        voxel_size: tuple[float, float, float] = (8, 8, 8),
        *,
        block_size: int = 64,
        max_scale: int = 2,
        compression: str = "",
    ) -> None:
        super().__init__(repo, name)
        self.voxel_size, self.block_size, self.max_scale = voxel_size, block_size, max_scale
        self.stored_compression = compression
        self.short_actions = False
        """Whether the log names actions without `-complete`, as old ones do."""
        self.state: Versioned[Labels] = Versioned(Labels(block_size))
        self.logs: dict[str, list[dict[str, Any]]] = {}
        self.splits: dict[str, list[list[int]]] = {}
        self.max_labels: dict[str, int] = {}
        self.next_label = 1
        if cube is not None:
            self._write(repo.node(repo.root), cube, offset_zyx)

    # --- looking ----------------------------------------------------------------------------------------------------

    def labels(self, uuid: str) -> Labels:
        """The state at a node."""
        return self.state.at(self.repo.node(uuid))

    def supervoxel_at(self, uuid: str, zyx: Sequence[int]) -> int:
        """The supervoxel of a voxel; 0 outside."""
        return int(self.labels(uuid).at(np.array([list(zyx)]))[0])

    def body_at(self, uuid: str, zyx: Sequence[int]) -> int:
        """The body of a voxel; 0 outside."""
        return self.labels(uuid).body(self.supervoxel_at(uuid, zyx))

    def size(self, uuid: str, body: int) -> int:
        """The voxels of a body; 0 if there is none."""
        return int(self.labels(uuid).sizes(np.array([body], np.uint64), supervoxels=False)[0][0])

    def supervoxels(self, uuid: str, body: int) -> list[int]:
        """The supervoxels of a body."""
        return [int(sv) for sv in self.labels(uuid).members(body)]

    def bodies(self, uuid: str) -> list[int]:
        """All bodies."""
        return [int(body) for body in self.labels(uuid).body_sizes[0]]

    # --- what leaves no trace in the log ----------------------------------------------------------------------------

    def write(self, uuid: str, cube: np.ndarray, offset_zyx: tuple[int, int, int] = (0, 0, 0)) -> None:
        """Ingest supervoxels, which no log tells of."""
        with self.repo.lock:
            self._write(self.repo.open_node(uuid), cube, offset_zyx)

    def load_mapping(
        self, uuid: str, supervoxels: np.ndarray, bodies: np.ndarray, sizes: np.ndarray | None = None
    ) -> None:
        """Ingest a map of any length, instead of the node's own; `sizes` are of supervoxels without voxels."""
        with self.repo.lock:
            node = self.repo.open_node(uuid)
            order = np.argsort(supervoxels)
            sizes = np.zeros(len(order), np.int64) if sizes is None else np.asarray(sizes)
            labels = self.state.changing(node)
            svs, to = np.asarray(supervoxels, np.uint64)[order], np.asarray(bodies, np.uint64)[order]
            labels.loaded, labels.changed = (svs, to, sizes[order]), {}
            labels.forget()
            if len(svs):
                self._saw(node, max(int(svs[-1]), int(to.max())))

    def set_entry(self, uuid: str, supervoxel: int, body: int) -> None:
        """Put one entry into the map behind the back of the log."""
        with self.repo.lock:
            self._map(self.repo.open_node(uuid), {supervoxel: body})

    def log_record(self, uuid: str, record: Mapping[str, Any]) -> None:
        """Append any record to the log of a node, also an impossible one or one that clients do not know."""
        with self.repo.lock:
            self.logs.setdefault(uuid, []).append(dict(record))

    # --- edits ------------------------------------------------------------------------------------------------------

    def merge(self, uuid: str, target: int, labels: Iterable[int], **who: Any) -> int:
        """Merge bodies into another one; gives back the mutation id."""
        with self.repo.lock:
            node, merged = self.repo.open_node(uuid), [int(label) for label in labels]
            state = self._existing(node, target, *merged)
            self._map(node, {int(sv): target for label in merged for sv in state.members(label)})
            return self._log(node, "merge", {"Target": target, "Labels": merged}, who)

    def cleave(self, uuid: str, body: int, supervoxels: Iterable[int], **who: Any) -> int:
        """Take supervoxels off a body; gives back the new body that they form."""
        with self.repo.lock:
            node, cleaved = self.repo.open_node(uuid), [int(sv) for sv in supervoxels]
            members = self._existing(node, body).members(body)
            if not cleaved or not set(cleaved) < {int(sv) for sv in members}:
                raise Refusal(f"supervoxels {cleaved} are not a part of body {body}")
            new = self._new_label(node)
            self._map(node, {**dict.fromkeys(cleaved, new), new: 0})
            fields = {"OrigLabel": body, "CleavedLabel": new, "CleavedSupervoxels": cleaved}
            if self.dvid.abilities.cleave_sizes:
                fields |= {"CleavedSize": self.size(uuid, new), "RemainSize": self.size(uuid, body)}
            self._log(node, "cleave", fields, who)
            return new

    def renumber(self, uuid: str, new: int, orig: int, **who: Any) -> int:
        """Give a body another number; gives back the mutation id."""
        with self.repo.lock:
            node = self.repo.open_node(uuid)
            state = self._existing(node, orig)
            if self.size(uuid, new) or new in state.known[0]:
                raise Refusal(f"label {new} is in use")
            self._map(node, {**{int(sv): new for sv in state.members(orig)}, new: 0})
            self._saw(node, new)
            return self._log(node, "renumber", {"NewLabel": new, "OrigLabel": orig}, who)

    def split_supervoxel(self, uuid: str, supervoxel: int, mask: np.ndarray, **who: Any) -> tuple[int, int]:
        """Split a supervoxel; gives back the new ids of what the mask holds and of the rest.

        `mask` is a bool array of the volume's shape, or voxels (N, 3) in zyx.
        """
        with self.repo.lock:
            node = self.repo.open_node(uuid)
            state = self.state.changing(node)
            body = state.body(supervoxel)
            ((split, remain),) = self._split(node, [supervoxel], mask).values()
            self._map(node, {supervoxel: 0, split: body, remain: body})
            fields = {
                "Supervoxel": supervoxel,
                "SplitSupervoxel": split,
                "RemainSupervoxel": remain,
                "Split": blob(split),
            }
            fields |= {"Body": body, "SplitSize": state.voxels[split], "RemainSize": state.voxels[remain]}
            mutation = self._log(node, "split-supervoxel", fields, who)
            self.splits.setdefault(uuid, []).append([mutation, supervoxel, remain, split])
            return split, remain

    def split_body(self, uuid: str, body: int, mask: np.ndarray, **who: Any) -> int:
        """Split voxels off a body, in the deprecated way that makes new supervoxels; gives back the new body.

        Each supervoxel that the mask touches is split, also one that it covers, whose rest then has no voxels.
        """
        with self.repo.lock:
            node = self.repo.open_node(uuid)
            state = self.state.changing(node)
            members = self._existing(node, body).members(body)
            touched = np.intersect1d(members, state.cube[self._inside(state, mask)])
            pairs = self._split(node, [int(sv) for sv in touched], mask)
            new = self._new_label(node)
            for old, (split, remain) in pairs.items():
                self._map(node, {old: 0, split: new, remain: body})
            named = {str(old): {"Split": split, "Remain": remain} for old, (split, remain) in pairs.items()}
            fields = {"Target": body, "NewLabel": new, "Split": blob(new), "SVSplits": named}
            mutation = self._log(node, "split", fields, who)
            records = [[mutation, old, remain, split] for old, (split, remain) in pairs.items()]
            self.splits.setdefault(uuid, []).extend(records)
            return new

    # --- the same over HTTP and from Python -------------------------------------------------------------------------

    def _existing(self, node: DagNode, *bodies: int) -> Labels:
        state = self.state.at(node)
        for body in bodies:
            if not state.sizes(np.array([body], np.uint64), supervoxels=False)[1][0]:
                raise Refusal(f"label {body} does not exist")
        return state

    def _write(self, node: DagNode, cube: np.ndarray, offset: tuple[int, int, int]) -> None:
        self.state.changing(node).write(np.asarray(cube, np.uint64), offset)
        self._saw(node, int(cube.max(initial=0)))

    def _map(self, node: DagNode, entries: Mapping[int, int]) -> None:
        state = self.state.changing(node)
        state.changed.update(entries)
        state.forget()

    def _saw(self, node: DagNode, label: int) -> None:
        self.max_labels[node.uuid] = max(label, self.max_labels.get(node.uuid, 0))
        self.next_label = max(self.next_label, label + 1)

    def _new_label(self, node: DagNode) -> int:
        label = self.next_label
        self._saw(node, label)
        return label

    def _inside(self, state: Labels, mask: np.ndarray) -> np.ndarray:
        """A mask as a bool array of the volume's shape."""
        if mask.dtype == bool:
            return mask
        inside = np.zeros(state.cube.shape, bool)  # type: ignore[union-attr]
        places = mask - state.offset
        inside[tuple(places[((places >= 0) & (places < inside.shape)).all(axis=1)].T)] = True
        return inside

    def _split(self, node: DagNode, supervoxels: Sequence[int], mask: np.ndarray) -> dict[int, tuple[int, int]]:
        """Give new ids to both parts of supervoxels: {old: (split, remain)}."""
        state = self.state.changing(node)
        if state.cube is None:
            raise Refusal("there are no voxels to split")
        inside, cube, pairs = self._inside(state, mask), state.cube.copy(), {}
        for old in supervoxels:
            whole = state.cube == np.uint64(old)
            if not (whole & inside).any():
                raise Refusal(f"nothing of supervoxel {old} lies in the split")
            split, remain = self._new_label(node), self._new_label(node)
            cube[whole & inside], cube[whole & ~inside] = split, remain
            pairs[old] = (split, remain)
        state.relabel(cube)
        for old, pair in pairs.items():
            state.voxels.pop(old, None)
            for new in pair:
                state.voxels.setdefault(new, 0)
        return pairs

    def _log(self, node: DagNode, action: str, fields: Mapping[str, Any], who: Who) -> int:
        mutation = self.repo.next_mutation()
        clock = self.repo.graph.clock
        time = go_time(clock.read(), clock.ticks)
        record = {"Action": action if self.short_actions else f"{action}-complete", **fields, "MutationID": mutation}
        record |= {"UUID": node.uuid, "Timestamp": who.get("timestamp", time)}
        record |= {"User": who.get("user", "proofreader"), "App": who.get("app", "NeuTu")}
        self.logs.setdefault(node.uuid, []).append({k: v for k, v in record.items() if v != ""})
        return mutation


def blob(label: int) -> str:
    """The reference to the voxels of a split, which nobody reads."""
    return f"blob-{label}"
