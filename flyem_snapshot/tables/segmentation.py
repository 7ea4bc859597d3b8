"""The segmentation that a snapshot is of: a labelmap of a DVID server, at one moment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flyem_snapshot.stage import Context


@dataclass(frozen=True)
class Segmentation:
    """Which segmentation, and its state at the moment of the snapshot.

    `uuid` is the version asked for, `data_uuid` the identity of the instance, `repo` the root of its repository.
    `records` is the number of entries in the version's own log and `mutid` the id of the last mutation at that moment.
    `consistent` is false if others edited so fast that no single moment could be caught.

    `last` is the last mutation, which may belong to an ancestor: uuid, timestamp (UTC, ISO 8601, or null), mutid,
    action, user, and its whole record if it is of this version.

    `map_folder` is the directory, relative to the output directory, of the whole mapping of supervoxels to bodies; None
    if bodies are to be asked for, which only a locked version allows.  Supervoxels from `next_label` on are newer than
    the moment.  `content` is a digest of the mapping where no position of the log stands for it.
    """

    server: str
    uuid: str
    instance: str
    repo: str
    data_uuid: str
    locked: bool
    records: int
    mutid: int
    consistent: bool
    last: Mapping[str, Any]
    map_folder: str | None = None
    next_label: int | None = None
    content: str = ""

    @property
    def source(self) -> dict[str, Any]:
        """What identifies the state: see `Stage.source`."""
        return identity(
            repo=self.repo,
            data_uuid=self.data_uuid,
            uuid=self.uuid,
            locked=self.locked,
            records=self.records,
            mutid=self.mutid,
            consistent=self.consistent,
            content=self.content,
        )

    def record(self) -> dict[str, Any]:
        """What the cache must remember."""
        return asdict(self)

    @classmethod
    def reopen(cls, ctx: Context, record: dict[str, Any]) -> Segmentation:  # noqa: ARG003  every table is reopened so
        """The segmentation as it was recorded."""
        return cls(**record)


def identity(
    *,
    repo: str,
    data_uuid: str,
    uuid: str,
    locked: bool,
    records: int,
    mutid: int,
    consistent: bool = True,
    content: str = "",
) -> dict[str, Any]:
    """The state of a labelmap as JSON values; equal states hold the same bodies.

    One that is not consistent is none that can be asked for beforehand, so that the next run reads it again; whether
    it is the same then, its content tells.
    """
    return {
        "repo": repo,
        "data-uuid": data_uuid,
        "uuid": uuid,
        "locked": locked,
        "records": records,
        "mutid": mutid,
        "consistent": consistent,
        **({"content": content} if content else {}),
    }
