"""Settings of the job as a whole, whatever its stages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from flyem_snapshot.config.model import Section, setting
from flyem_snapshot.errors import Problem

SIZE_PATTERN = r"^\s*[0-9]+(\.[0-9]+)?\s*([kKmMgGtT]i?)?[bB]?\s*$"


class JobSettings(Section):
    """Where results go, what they are called, and what the job may use of the machine."""

    snapshot_tag: str | None = setting(
        None,
        examples=("v1.2.1",),
        doc="""Name of this snapshot. It becomes part of the names of most files. Required, unless the segmentation is
        read from DVID: then it is YYYY-MM-DD-<6 digits of the uuid> by default, with the date of the last change of the
        segmentation, and -unlocked behind it if the version can still change. For a CAVE datastack it is
        YYYY-MM-DD-v<version> by default, with the date that the materialization is of.""",
    )
    output_dir: Path | None = setting(
        None,
        directory=True,
        affects_result=False,
        doc="""Directory for all results, relative to this file. If not set, it is named after snapshot-tag and made in
        the directory in which the job is started.""",
    )
    processes: int = setting(
        16,
        ge=1,
        affects_result=False,
        doc="Number of CPUs to use. No more are used than the job was given by the machine or the batch system.",
    )
    memory_limit: str | None = setting(
        None,
        pattern=SIZE_PATTERN,
        affects_result=False,
        examples=("8GB", "1.5GiB"),
        doc="""How much memory the tables may take before they are moved to disk, such as 8GB or 1.5GiB. If not set:
        60 % of what the job may use.""",
    )
    scratch_dir: Path | None = setting(
        None,
        directory=True,
        affects_result=False,
        doc="""Directory on a fast disk for tables that do not fit in memory; they are removed at the end. If not set:
        a directory within cache/ of the results.""",
    )
    dvid_timeout: float = setting(
        300.0,
        gt=0,
        affects_result=False,
        doc="How many seconds to wait for an answer of a DVID server before the request is made again.",
    )
    dvid_user: str | None = setting(
        None,
        affects_result=False,
        doc="User name that DVID servers are told with each request. If not set: yours on this machine.",
    )
    logging_config: Mapping[str, Any] = setting(
        {"loggers": {"flyem_snapshot": {"level": "INFO"}}, "incremental": True},
        affects_result=False,
        doc="How much is logged, in the form that Python's logging.config.dictConfig reads.",
    )

    def problems(self) -> Iterator[Problem]:
        """The tag must be usable as a part of file names; some memory must be allowed."""
        if self.memory_limit is not None and not set(self.memory_limit) & set("123456789"):
            yield Problem(("memory-limit",), f"must be more than nothing, not '{self.memory_limit}'")
        tag = self.snapshot_tag
        if tag is None:
            return
        if tag != tag.strip() or not tag.isprintable():
            yield Problem(("snapshot-tag",), f"must not begin or end with a blank, nor contain a line break: {tag!r}")
        elif "/" in tag or tag.startswith("."):
            message = f"becomes part of file names: it must not contain '/' or begin with '.', as '{tag}' does"
            yield Problem(("snapshot-tag",), message)
