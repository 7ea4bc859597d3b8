"""A datastack on its servers: which materialization is meant, and its tables, downloaded whole."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from flyem_snapshot.cave import FrameworkClient
from flyem_snapshot.cave.failures import NotFound
from flyem_snapshot.engine.session import Engine
from flyem_snapshot.errors import DataError, SettingError
from flyem_snapshot.inputs.cave.download import download
from flyem_snapshot.inputs.cave.fetched import AXES, Fetched, described
from flyem_snapshot.inputs.cave.kept import Kept
from flyem_snapshot.inputs.cave.settings import CaveSettings
from flyem_snapshot.inputs.cave.wanted import missing, wanted

if TYPE_CHECKING:
    import pyarrow as pa

logger = logging.getLogger(__name__)

AVAILABLE: Final = "AVAILABLE"
_SOON: Final = dt.timedelta(days=2)


def connected(config: CaveSettings) -> FrameworkClient:
    """The services of the datastack; asks nothing yet.  SettingError if the file that is named holds no token."""
    client = FrameworkClient(
        config.datastack,
        config.server_address,
        auth_token_file=config.auth_token_file,
        auth_token_key=config.auth_token_key,
        timeout=config.timeout,
    )
    if config.auth_token_file is not None and client.auth.token is None:
        problem = f"{config.auth_token_file} is missing, or has no token under the key '{config.auth_token_key}'"
        raise SettingError("auth-token-file", problem, hint="save one there: client.auth.save_token(...)")
    return client


def pin_version(config: CaveSettings, whole: Any) -> CaveSettings:
    """The settings with the number of the materialization that `latest`, or a time, stands for now.

    Raises SettingError if there is none.
    """
    if config.datastack is None or isinstance(config.version, int):
        return config
    with connected(config) as client:
        try:
            if config.version == "latest":
                number = client.materialize.most_recent_version()
            else:
                number = client.materialize.version_at(dt.datetime.fromisoformat(str(config.version)))
        except NotFound as error:
            known = [f"{r['version']} of {_iso(r['time_stamp'])}" for r in client.materialize.get_versions_metadata()]
            problem = f"no materialization of '{config.datastack}' can be read for '{config.version}'"
            raise SettingError("version", problem, hint=f"there are: {', '.join(known) or 'none'}") from error
    logger.info("%s: '%s' is version %d", config.datastack, config.version, number)
    return config.model_copy(update={"version": number})


def is_available(record: Mapping[str, Any]) -> bool:
    """Whether a materialization can be read."""
    return bool(record["valid"]) and record["status"] == AVAILABLE


def version_record(config: CaveSettings, client: FrameworkClient) -> Mapping[str, Any]:
    """What the server says of the version; it does so even of one that has expired."""
    try:
        record: Mapping[str, Any] = client.materialize.get_version_metadata(_number(config))
    except NotFound as error:
        versions = ", ".join(map(str, client.materialize.get_versions()))
        problem = f"there is no version {config.version} of '{config.datastack}'"
        raise SettingError("version", problem, hint=f"versions that can be read: {versions or 'none'}") from error
    if record.get("time_stamp") is None:
        raise SettingError("version", f"the server does not say of which moment version {config.version} is")
    return record


def require_available(config: CaveSettings, client: FrameworkClient) -> Mapping[str, Any]:
    """The record of the version; SettingError if its tables are gone, or not there yet."""
    record = version_record(config, client)
    expires = record.get("expires_on")
    if not is_available(record):
        when = f", it expired on {_iso(expires)}" if expires and expires <= dt.datetime.now(dt.UTC) else ""
        versions = ", ".join(map(str, client.materialize.get_versions()))
        problem = f"version {config.version} of '{config.datastack}' cannot be read: it is {record['status']}{when}"
        raise SettingError("version", problem, hint=f"versions that can: {versions or 'none'}")
    if expires and expires - dt.datetime.now(dt.UTC) < _SOON:
        logger.warning("version %s of '%s' expires on %s", config.version, config.datastack, _iso(expires))
    return record


def default_tag(config: CaveSettings, whole: Any) -> str:
    """The date that the materialization is of, and its number; "" without a datastack."""
    if config.datastack is None:
        return ""
    with connected(config) as client:
        record = version_record(config, client)
    return f"{record['time_stamp'].astimezone(dt.UTC):%Y-%m-%d}-v{config.version}"


def state(config: CaveSettings, whole: Any) -> Mapping[str, Any] | None:
    """What identifies the tables: a materialization never changes, and its tables need not be there any more."""
    if config.datastack is None:
        return None
    with connected(config) as client:
        record = version_record(config, client)
    return {
        # Two servers may each have a datastack of that name, with a version of that number.
        "server": client.server_address,
        "datastack": config.datastack,
        "version": config.version,
        "time-stamp": _iso(record["time_stamp"]),
    }


def state_afterwards(config: CaveSettings, whole: Any) -> Mapping[str, Any]:
    """How long the materialization can still be read."""
    if config.datastack is None:
        return {}
    with connected(config) as client:
        record = version_record(config, client)
    expires = record.get("expires_on")
    return {"server": client.server_address, "status": record["status"], "expires-on": _iso(expires)}


def missing_names(config: CaveSettings, client: FrameworkClient) -> list[SettingError]:
    """The tables that the version does not have, and the columns that they do not have, which one row of each tells."""
    info = client.info.get_datastack_info()
    tables = client.materialize.get_tables(_number(config))

    def columns_of(table: str) -> list[str]:
        row: pa.Table = client.materialize.query_table(table, version=_number(config), limit=1)
        return list(row.column_names)

    return _missing(config, info, tables, columns_of)


def missing_kept(config: CaveSettings, kept: Kept) -> list[SettingError] | None:
    """The same of tables that were downloaded before; None if one that is wanted is not here."""
    about = kept.datastack()
    if about is None:
        return None
    named = wanted(config, str(about.get("synapse_table") or ""), str(about.get("soma_table") or ""))
    tables = {one.table for one in named if one.table}
    records = {name: kept.known(name) for name in tables}
    references = {str(r["reference-table"]) for r in records.values() if r is not None and r.get("reference-table")}
    records |= {name: kept.known(name) for name in references}
    if not all(record is not None for record in records.values()):
        return None
    return _missing(config, about, list(records), kept.columns)


def _missing(
    config: CaveSettings, info: Mapping[str, Any], tables: Collection[str], columns_of: Callable[[str], list[str]]
) -> list[SettingError]:
    faults = []
    if config.synapse_table is None and not info.get("synapse_table"):
        faults.append(_none_recorded(config, ("synapse-table",)))
    if config.soma is not None and config.soma.table is None and not info.get("soma_table"):
        faults.append(_none_recorded(config, ("soma", "table")))
    named = wanted(config, str(info.get("synapse_table") or ""), str(info.get("soma_table") or ""))
    return [*faults, *missing((one for one in named if one.table), tables, columns_of)]


def _number(config: CaveSettings) -> int:
    assert isinstance(config.version, int), "the version is pinned"
    return config.version


class LiveTables:
    """The tables of a version, each downloaded once and kept; a server is asked only for what is not here.

    Raises SettingError if something is missing and the version cannot be read.
    """

    def __init__(self, config: CaveSettings, engine: Engine, kept: Kept) -> None:
        self.config, self.engine, self.version = config, engine, _number(config)
        self.client = connected(config)
        self._kept = kept
        self._known: dict[str, Fetched] = {}
        about = kept.datastack()
        if about is None:
            about = self._asked()
            kept.keep_datastack(about)
        self._about = about

    def _asked(self) -> dict[str, Any]:
        record = require_available(self.config, self.client)
        info = self.client.info.get_datastack_info()
        return {
            "datastack": self.config.datastack,
            "server": self.client.server_address,
            "version": self.version,
            "time_stamp": _iso(record["time_stamp"]),
            "is-merged": record.get("is_merged"),
            "aligned-volume": (info.get("aligned_volume") or {}).get("name"),
            "segmentation": info.get("segmentation_source"),
            "synapse_table": info.get("synapse_table"),
            "soma_table": info.get("soma_table"),
        }

    def synapse_table(self) -> str:
        """The synapse table of the datastack's record; SettingError if it names none."""
        return self._recorded("synapse_table", ("synapse-table",))

    def soma_table(self) -> str:
        """The table of nuclei of the datastack's record; SettingError if it names none."""
        return self._recorded("soma_table", ("soma", "table"))

    def _recorded(self, key: str, path: tuple[str, ...]) -> str:
        name = self._about.get(key)
        if not name:
            raise _none_recorded(self.config, path)
        return str(name)

    def fetch(self, name: str, *, synapses: bool = False) -> Fetched:  # noqa: ARG002  the server names columns itself
        """Download a table, or what of it is not here yet.  Raises CaveError if the server fails."""
        if name not in self._known:
            self._known[name] = self._fetched(name)
            logger.info(
                "%s: %s rows of table '%s'", self.config.datastack, f"{self._known[name].about['rows']:,}", name
            )
        return self._known[name]

    def _fetched(self, name: str) -> Fetched:
        about = self._kept.known(name)
        is_whole = about is not None
        if about is None:
            require_available(self.config, self.client)
            about = self._described(name)
        x, y, z = about["resolution"]
        folder, workers = self._kept.table(name), self.config.parallel_requests
        files = download(self.client, name, self.version, int(about["rows"]), folder, workers)
        if not is_whole:
            self._kept.keep(name, about)
        columns, reference = described(self.engine, files), about.get("reference-table") or None
        return Fetched(name, tuple(files), columns, (x, y, z), reference, True, about)

    def _described(self, name: str) -> dict[str, Any]:
        """What the server says of a table, before any row of it is asked for."""
        materialize = self.client.materialize
        record = materialize.get_table_metadata(name, self.version)
        if record.get("notice_text"):
            logger.warning("the owner of table '%s' says: %s", name, record["notice_text"])
        return {
            "rows": int(materialize.get_annotation_count(name, self.version)),
            "schema": record.get("schema_type") or record.get("schema"),
            "resolution": list(_resolution(name, record)),
            "reference-table": record.get("reference_table"),
            "last-modified": _text(record.get("last_modified")),
            "notice": record.get("notice_text"),
        }

    def about(self) -> dict[str, Any]:
        """The datastack, the version and its tables."""
        own = {key: value for key, value in self._about.items() if key not in ("synapse_table", "soma_table")}
        return {**own, "tables": {name: dict(table.about) for name, table in self._known.items()}}


def _none_recorded(config: CaveSettings, path: tuple[str, ...]) -> SettingError:
    return SettingError(path, f"the record of '{config.datastack}' names none", hint="name the table here")


def _resolution(name: str, record: Mapping[str, Any]) -> tuple[float, float, float]:
    sizes = [record.get(f"voxel_resolution_{axis}") for axis in AXES]
    if not all(isinstance(size, int | float) and size > 0 for size in sizes):
        listed = record.get("voxel_resolution")
        sizes = list(listed) if isinstance(listed, Iterable) and not isinstance(listed, str) else []
    if len(sizes) != 3 or not all(isinstance(size, int | float) and size > 0 for size in sizes):
        problem = f"the server does not say in which unit the positions of table '{name}' are"
        raise DataError(problem, hint="its voxel_resolution is missing; ask the owner of the table")
    x, y, z = (float(size or 0) for size in sizes)
    return x, y, z


def _iso(moment: dt.datetime | None) -> str | None:
    return None if moment is None else moment.astimezone(dt.UTC).isoformat()


def _text(value: Any) -> str | None:
    return _iso(value) if isinstance(value, dt.datetime) else None if value is None else str(value)
