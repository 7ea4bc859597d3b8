"""Materialization versions: which there are, from what moment, for how long, and with which tables."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from flyem_snapshot.cave.encoding import one_id
from flyem_snapshot.cave.failures import CaveError, Expired, NotFound
from flyem_snapshot.cave.http import Incomplete, segment
from flyem_snapshot.cave.queries import positive
from flyem_snapshot.cave.service import integer, integers, names, record, records
from flyem_snapshot.cave.times import aware, parsed

if TYPE_CHECKING:
    from flyem_snapshot.cave.service import Service

logger = logging.getLogger(__name__)

AVAILABLE: Final = "AVAILABLE"
_TIMES: Final = ("time_stamp", "expires_on")


class Versions:
    """The part of the materialization service that describes versions and tables.  Nothing is kept: ask again, and a
    new version is there.
    """

    def __init__(self, service: Service, datastack_name: str, version: int | None) -> None:
        self._service, self.datastack_name = service, datastack_name
        self.version = positive(version, "version")

    @property
    def server_version(self) -> str | None:
        """The version of the service's software, such as `5.26.4`; None if it does not say."""
        return self._service.software_version()

    def get_versions(self, expired: bool = False) -> list[int]:
        """The numbers of the versions, ascending; with `expired` of all that ever were."""
        return sorted(self._service.get(f"{self._base()}/versions", integers, params={"expired": expired}))

    def get_version_metadata(self, version: int | None = None) -> dict[str, Any]:
        """The record of a version: `version`, `datastack`, `status` (AVAILABLE, RUNNING, FAILED, EXPIRED), `valid`,
        `is_merged`, and as aware datetimes in UTC `time_stamp` and `expires_on`.
        """
        return self._service.get(self._version_path(version), lambda answer: _timed(record(answer)))

    def get_versions_metadata(self, expired: bool = False) -> list[dict[str, Any]]:
        """The records of all versions, by number."""

        def read(answer: Any) -> list[dict[str, Any]]:
            return sorted((_timed(one) for one in records(answer)), key=lambda one: integer(one.get("version")))

        return self._service.get(f"{self._base()}/metadata", read, params={"expired": expired})

    def get_timestamp(self, version: int | None = None) -> datetime:
        """The moment that a version shows, in UTC."""
        moment = self.get_version_metadata(version).get("time_stamp")
        if not isinstance(moment, datetime):
            raise self._service.odd(self._version_path(version), "its record names no time")
        return moment

    def most_recent_version(self) -> int:
        """The number of the version with the latest time of those that can be read; NotFound if there is none."""
        return self._newest(self.get_versions_metadata(), "that can be read")

    def version_at(self, timestamp: datetime) -> int:
        """The number of the latest version that shows this moment or one before; NotFound if there is none."""
        limit = aware(timestamp)
        before = [one for one in self.get_versions_metadata() if one["time_stamp"] and one["time_stamp"] <= limit]
        return self._newest(before, f"of {limit:%Y-%m-%d %H:%M:%S} or before")

    def get_tables(self, version: int | None = None) -> list[str]:
        """The names of the tables of a version."""
        path = self._version_path(version)
        with self._present(version):
            return self._service.get(f"{path}/tables", names)

    def get_tables_metadata(self, version: int | None = None) -> list[dict[str, Any]]:
        """The records of the tables of a version, see `get_table_metadata`."""
        if self._service.version < 3:
            return [self.get_table_metadata(name, version) for name in self.get_tables(version)]
        path = self._version_path(version)
        with self._present(version):
            return [_sized(one) for one in self._service.get(f"{path}/tables/metadata", records)]

    def get_table_metadata(self, table_name: str, version: int | None = None) -> dict[str, Any]:
        """The record of a table: `schema_type`, `reference_table`, `notice_text`, `last_modified`, ...

        `voxel_resolution` is [x, y, z] in nanometres beside its three parts, if the record has all of them.
        """
        path = self._version_path(version)
        with self._present(version):
            return _sized(self._service.get(f"{path}/table/{segment(table_name)}/metadata", record))

    def get_annotation_count(self, table_name: str, version: int | None = None) -> int:
        """How many rows of a table a version has."""
        path = self._version_path(version)
        with self._present(version):
            return self._service.get(f"{path}/table/{segment(table_name)}/count", integer)

    def require_present(self, version: int | None = None) -> dict[str, Any]:
        """The record of a version whose rows can be read; Expired if they are gone, or not there yet."""
        found = self.get_version_metadata(version)
        if found.get("valid") is True and found.get("status") == AVAILABLE:
            return found
        raise self._gone(found, version)

    def _newest(self, found: list[dict[str, Any]], what: str) -> int:
        ready = [one for one in found if one.get("valid") is True and one.get("status") == AVAILABLE]
        if not ready:
            url = f"{self._service.server}/{self._base()}/metadata"
            hint = "get_versions_metadata(expired=True) lists all that ever were"
            raise NotFound("GET", url, f"datastack '{self.datastack_name}' has no version {what}", hint=hint)
        newest = max(ready, key=lambda one: (one["time_stamp"], one["version"]))
        return integer(newest["version"])

    def _number(self, version: int | None) -> int:
        number = positive(version if version is not None else self.version, "version")
        if number is None:
            hint = "client.materialize.most_recent_version() says which is the latest"
            problem = "no version is named, neither here nor for the client"
            raise CaveError("GET", f"{self._service.server}/{self._base()}/versions", problem, hint=hint)
        return number

    def _base(self) -> str:
        return f"materialize/api/v{self._service.version}/datastack/{segment(self.datastack_name)}"

    def _version_path(self, version: int | None) -> str:
        return f"{self._base()}/version/{one_id(self._number(version))}"

    @contextmanager
    def _present(self, version: int | None) -> Iterator[None]:
        """Turn a failure of the block into Expired if the version's rows are gone: the service only says that its
        database is not there.
        """
        failure: CaveError | None = None
        try:
            yield
        except CaveError as error:
            if error.status is None or (error.status < 500 and not isinstance(error, NotFound)):
                raise
            failure = error
        if failure is not None:
            try:
                found = self.get_version_metadata(version)
            except CaveError:
                found = {"valid": True, "status": AVAILABLE}
            raise (
                failure
                if found.get("valid") is True and found.get("status") == AVAILABLE
                else self._gone(found, version, failure)
            )

    def _gone(self, found: dict[str, Any], version: int | None, failure: CaveError | None = None) -> Expired:
        status, moment = found.get("status"), found.get("expires_on")
        until = f", it was to be kept until {moment:%Y-%m-%d %H:%M} UTC" if isinstance(moment, datetime) else ""
        return Expired(
            "GET",
            f"{self._service.server}/{self._version_path(version)}",
            f"the rows of version {self._number(version)} of '{self.datastack_name}' cannot be read: its status is "
            f"{status}{until}",
            status=failure.status if failure else None,
            hint="client.materialize.get_versions() lists those that can",
        )


def _timed(found: dict[str, Any]) -> dict[str, Any]:
    """A record whose times are datetimes in UTC; a time that is not set stays None."""
    times = {}
    for key in _TIMES:
        value = found.get(key)
        try:
            times[key] = None if value is None else parsed(value)
        except (ValueError, AttributeError, TypeError):
            raise Incomplete(f"'{key}' is no time: {value!r}") from None
    return {**found, **times}


def _sized(found: dict[str, Any]) -> dict[str, Any]:
    sizes = [found.get(f"voxel_resolution_{axis}") for axis in "xyz"]
    return found if None in sizes else {**found, "voxel_resolution": sizes}
