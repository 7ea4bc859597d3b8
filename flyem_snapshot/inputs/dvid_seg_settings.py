"""Settings of the segmentation in a DVID server."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from flyem_snapshot.config.model import Section, setting
from flyem_snapshot.errors import Problem


class DvidSegSettings(Section):
    """The segmentation that says which body each point is on, in a DVID server. Leave the server out to use none."""

    server: str | None = setting(
        None,
        affects_result=False,
        examples=("http://emdata.example.org:8000",),
        doc="""Address of the DVID server. If not set, bodies are those of the tables. With it, supervoxel and body of
        every point are looked up anew.""",
    )
    uuid: str | None = setting(
        ":master~1",
        doc="""The version: a uuid, the beginning of one, or an expression such as :master (the newest of that branch)
        or :master~1 (the one before it, which is mostly the newest that can no longer change).""",
    )
    instance: str | None = setting(
        "segmentation",
        doc="Name of the labelmap. The body annotations are those of the instance <name>_annotations.",
    )
    export_mapping: bool = setting(
        False,
        affects_result=False,
        doc="""Write tables/complete-nonsingleton-mapping-<tag>.feather: the body of every supervoxel that shares its
        body with others.""",
    )
    mapping: Literal["auto", "whole", "batches"] = setting(
        "auto",
        affects_result=False,
        doc="""How bodies of supervoxels are asked for. whole: all of them are read at the start, 16 bytes each.
        batches: only those that are needed, when they are; this works for a version that is locked. auto: batches if
        the version is locked, otherwise whole, since that is how one moment can be kept while others edit.""",
    )
    tag_time_zone: str = setting(
        "US/Eastern",
        affects_result=False,
        doc="Time zone of the date in a snapshot tag that is made from the version.",
    )

    @property
    def version(self) -> tuple[str, str, str]:
        """Server, uuid and instance, of a segmentation that is switched on."""
        assert self.server is not None, "it is switched on"
        assert self.uuid is not None, "the rules demand it"
        assert self.instance is not None, "the rules demand it"
        return self.server, self.uuid, self.instance

    def problems(self) -> Iterator[Problem]:
        """With a server, a version and an instance are named; the time zone must exist."""
        for name in ("uuid", "instance"):
            if self.server is not None and getattr(self, name) is None:
                yield Problem(
                    (name,), "is required if there is a server, but empty", hint="leave it out for the default"
                )
        try:
            ZoneInfo(self.tag_time_zone)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            hint = "write a name such as US/Eastern or Europe/London"
            yield Problem(("tag-time-zone",), f"there is no time zone '{self.tag_time_zone}'", hint)
