"""The materialization service: annotations with their roots, as they were at the moment of a version."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from flyem_snapshot.cave import queries, rows
from flyem_snapshot.cave.encoding import encode, exact, id_list
from flyem_snapshot.cave.failures import LimitError, VersionError
from flyem_snapshot.cave.http import Call, segment
from flyem_snapshot.cave.queries import Filter, Filters, by_table, columns_of, given, positive
from flyem_snapshot.cave.service import Service, names, record
from flyem_snapshot.cave.times import aware
from flyem_snapshot.cave.versions import Versions
from flyem_snapshot.cave.windows import Windows

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from flyem_snapshot.cave.http import Transport
    from flyem_snapshot.cave.windows import IdWindow

_NONE: Final[Filter] = {}
_NO_SUFFIXES: Final[Mapping[str, str]] = {}


class MaterializeClient(Versions):
    """Rows of the versions of a datastack.

    Where `version` is None, that of the client is meant; without either a CaveError says so: nothing is ever read
    from "the latest" by accident.  Rows come as pyarrow tables, with `format="pandas"` as DataFrames with nullable
    types.  Ids are int64 and exact, positions `<point>_position_x`, `_y`, `_z` in voxels of the table.  The metadata
    of a table's schema has `dataframe_resolution` and `notices`, which are logged, too.

    `filter_*` arguments are {column: value}: `filter_in_dict` and `filter_out_dict` take lists, `filter_spatial_dict`
    ((x0, y0, z0), (x1, y1, z1)), both ends included, the others one value.  Ids in filters are integers, of
    any kind; TypeError for floats, which cannot hold them.  Services ignore exclusions, so `filter_out_dict` is
    applied here, to the rows that came: a `limit` counts those before.

    LimitError if the service cut the answer off, unless that is what `limit` asked for.
    """

    def __init__(
        self,
        transport: Transport,
        server: Callable[[], str],
        datastack_name: str,
        *,
        version: int | None = None,
        api_version: int | None = None,
    ) -> None:
        service = Service(
            transport,
            "materialize",
            server,
            speaks=(3, 2),
            versions="materialize/api/versions",
            software="materialize/version",
            chosen=api_version,
        )
        super().__init__(service, datastack_name, version)

    def __repr__(self) -> str:
        return f"<MaterializeClient of {self.datastack_name}, version {self.version or 'not chosen'}>"

    def query_table(
        self,
        table: str,
        *,
        version: int | None = None,
        filter_equal_dict: Filter = _NONE,
        filter_in_dict: Filter = _NONE,
        filter_out_dict: Filter = _NONE,
        filter_greater_dict: Filter = _NONE,
        filter_less_dict: Filter = _NONE,
        filter_greater_equal_dict: Filter = _NONE,
        filter_less_equal_dict: Filter = _NONE,
        filter_spatial_dict: Filter = _NONE,
        filter_regex_dict: Filter = _NONE,
        select_columns: Iterable[str] | None = None,
        limit: int | None = None,
        offset: int | None = None,
        desired_resolution: Sequence[float] | None = None,
        random_sample: int | None = None,
        format: rows.Format = "arrow",  # noqa: A002 - the word for it
    ) -> pa.Table | pd.DataFrame:
        """Rows of a table, in no order.

        `select_columns` names columns (a point's position by `<point>_position`); `desired_resolution`, nanometres
        along x, y and z, is the unit of positions instead of the table's own: the service rounds to whole voxels
        before it scales.  `random_sample` is a number of rows.  `offset` is of little use: the rows have no order.
        """
        filters = Filters(
            equal=filter_equal_dict,
            among=filter_in_dict,
            out=filter_out_dict,
            greater=filter_greater_dict,
            less=filter_less_dict,
            greater_equal=filter_greater_equal_dict,
            less_equal=filter_less_equal_dict,
            spatial=filter_spatial_dict,
            regex=filter_regex_dict,
        )
        path = f"version/{self._number(version)}/table/{segment(table)}/query"
        options = given(
            limit=positive(limit, "limit"),
            offset=positive(offset, "offset", least=0),
            desired_resolution=desired_resolution,
        )
        arguments = given(random_sample=positive(random_sample, "random_sample"))
        with self._present(version):
            found = self._select(path, table, filters, columns_of(select_columns), options, arguments)
        return rows.as_format(found, format)

    def count_rows(
        self, table: str, *, version: int | None = None, filter_greater_equal_dict: Filter = _NONE, **filters: Filter
    ) -> int:
        """How many rows a query would find, reckoned by the service; filters as for `query_table`, without `out`."""
        keys = {"filter_greater_equal_dict": filter_greater_equal_dict, **filters}
        body = {key: by_table(exact(value), table) for key, value in keys.items() if value}
        if "filter_out_dict" in body:
            raise ValueError("the service ignores exclusions, so it cannot count them: query the rows")
        path = f"version/{self._number(version)}/table/{segment(table)}/query"
        with self._present(version):
            counted = self._rows(path, body, {"count": True})
        if counted.column_names != ["count"] or len(counted) != 1:
            raise self._service.odd(f"{self._base()}/{path}", "it did not count the rows", method="POST")
        return int(counted["count"][0].as_py())

    def id_windows(
        self,
        table: str,
        version: int | None = None,
        *,
        lo: int = 0,
        window: int | None = None,
        workers: int = 2,
        select_columns: Iterable[str] | None = None,
        desired_resolution: Sequence[float] | None = None,
    ) -> Iterator[IdWindow]:
        """A whole table, by windows of annotation ids: (lo, hi, table), ascending, rows sorted by id.

        Each has the rows with lo <= id < hi, each window begins where the one before ended, and some have no rows.
        `window` is the first width, by default 200,000 ids; it is halved where the service cuts an answer off, and
        doubled where ids are sparse.  At most `2 * workers` answers are held.  At the end the number of rows is
        compared with the service's count; to go on after an interruption, give as `lo` the last `hi` you kept.

        CaveError if rows are missing, come twice, or lie outside of their window; Expired if the version goes away.
        """
        number = self._number(version)
        columns = columns_of(select_columns, ["id"])
        options = given(desired_resolution=desired_resolution)
        path = f"version/{number}/table/{segment(table)}/query"

        def ask(low: int, high: int | None, limit: int | None = None) -> pa.Table:
            filters = Filters(greater_equal={"id": low}, less={} if high is None else {"id": high})
            body = {**options, **given(select_columns=columns if limit is None else ["id"], limit=limit)}
            with self._present(number):
                return self._rows(path, {**body, **filters.body(table)}, {}, columns)

        def count() -> int:
            if lo == 0:
                return self.get_annotation_count(table, number)
            return self.count_rows(table, version=number, filter_greater_equal_dict={"id": lo})

        return Windows(ask, count, f"table '{table}' of version {number}", self._odd_rows(path)).run(
            positive(lo, "lo", least=0) or 0, positive(window, "window"), positive(workers, "workers") or 1
        )

    def join_query(
        self,
        tables: Sequence[Sequence[str]],
        *,
        version: int | None = None,
        suffixes: Mapping[str, str] = _NO_SUFFIXES,
        select_columns: Mapping[str, Sequence[str]] = _NONE,
        filters: Filters | None = None,
        limit: int | None = None,
        offset: int | None = None,
        format: rows.Format = "arrow",  # noqa: A002 - the word for it
    ) -> pa.Table | pd.DataFrame:
        """Rows of two tables that belong together: `tables` is [[table, column], [table, column]].

        `suffixes` (by table) tell columns of the same name apart; `select_columns` and filters are by table, too.
        """
        chosen = filters or Filters()
        _no_exclusions(chosen)
        body = {
            "tables": [list(pair) for pair in tables],
            **given(limit=positive(limit, "limit"), offset=positive(offset, "offset", least=0)),
            **({"suffix_map": dict(suffixes)} if suffixes else {}),
            **(
                {"select_column_map": {name: list(columns) for name, columns in select_columns.items()}}
                if select_columns
                else {}
            ),
            **chosen.body(None),
        }
        with self._present(version):
            found = self._rows(f"version/{self._number(version)}/query", body, {})
        return rows.as_format(self._whole(found, limit, "query"), format)

    def live_query(
        self,
        table: str,
        timestamp: datetime,
        *,
        join_tables: Sequence[Sequence[str]] = (),
        suffixes: Mapping[str, str] = _NO_SUFFIXES,
        select_columns: Mapping[str, Sequence[str]] = _NONE,
        filters: Filters | None = None,
        limit: int | None = None,
        offset: int | None = None,
        format: rows.Format = "arrow",  # noqa: A002 - the word for it
    ) -> pa.Table | pd.DataFrame:
        """Rows of a table as they were at any time, roots included; `select_columns` and filters are by table.

        `join_tables` is [[table, column, other table, its column], ...].  For releases use a version instead.
        """
        chosen = filters or Filters()
        if join_tables:
            _no_exclusions(chosen)
        body = {
            "table": table,
            "timestamp": aware(timestamp).isoformat(),
            **({"join_tables": [list(pair) for pair in join_tables]} if join_tables else {}),
            **({"suffixes": dict(suffixes)} if suffixes else {}),
            **(
                {"select_columns": {name: list(columns) for name, columns in select_columns.items()}}
                if select_columns
                else {}
            ),
            **given(limit=positive(limit, "limit"), offset=positive(offset, "offset", least=0)),
            **chosen.body(None if join_tables else table),
        }
        found = self._whole(self._rows("query", body, {}), limit, "query")
        return rows.as_format(rows.without(found, chosen.excluded()), format)

    def synapse_query(
        self,
        pre_ids: Any = None,
        post_ids: Any = None,
        *,
        synapse_table: str,
        version: int | None = None,
        remove_autapses: bool = True,
        include_zeros: bool = True,
        limit: int | None = None,
        format: rows.Format = "arrow",  # noqa: A002 - the word for it
    ) -> pa.Table | pd.DataFrame:
        """Synapses from some roots to some others; None means any.

        `remove_autapses` leaves out those whose two roots are equal, but not those of 0 and 0, which is no body;
        without `include_zeros` synapses with a root 0 on either side are left out.
        """
        import pyarrow.compute as pc

        among = {
            f"{side}_pt_root_id": id_list(ids)
            for side, ids in (("pre", pre_ids), ("post", post_ids))
            if ids is not None
        }
        out = {} if include_zeros else {"pre_pt_root_id": [0], "post_pt_root_id": [0]}
        found: Any = self.query_table(
            synapse_table, version=version, filter_in_dict=among, filter_out_dict=out, limit=limit
        )
        if remove_autapses:
            pre, post = found["pre_pt_root_id"], found["post_pt_root_id"]
            autapse = pc.and_(pc.equal(pre, post), pc.not_equal(pre, 0))
            found = found.filter(pc.invert(pc.fill_null(autapse, fill_value=False)))
        return rows.as_format(found, format)

    def get_views(self, version: int | None = None) -> dict[str, Any]:
        """Name -> record of the ready-made queries of a version."""
        return self._service.get(f"{self._version_path(version)}/views", record)

    def get_view_metadata(self, view_name: str, version: int | None = None) -> dict[str, Any]:
        """The record of a view."""
        return self._service.get(f"{self._version_path(version)}/views/{segment(view_name)}/metadata", record)

    def get_view_schema(self, view_name: str, version: int | None = None) -> dict[str, Any]:
        """Column -> {"type": integer, float, string or SpatialPoint} of a view."""
        return self._service.get(f"{self._version_path(version)}/views/{segment(view_name)}/schema", record)

    def query_view(
        self,
        view_name: str,
        *,
        version: int | None = None,
        filters: Filters | None = None,
        select_columns: Iterable[str] | None = None,
        limit: int | None = None,
        format: rows.Format = "arrow",  # noqa: A002 - the word for it
    ) -> pa.Table | pd.DataFrame:
        """Rows of a view."""
        path = f"version/{self._number(version)}/views/{segment(view_name)}/query"
        options = given(limit=positive(limit, "limit"))
        with self._present(version):
            found = self._select(path, view_name, filters or Filters(), columns_of(select_columns), options, {})
        return rows.as_format(found, format)

    def get_unique_string_values(self, table: str) -> dict[str, list[str]]:
        """Text column -> the texts that occur in it, in the newest version."""
        path = f"{self._base()}/table/{segment(table)}/unique_string_values"
        return {name: names(values) for name, values in self._service.get(path, record).items()}

    # --- how rows are asked for -------------------------------------------------------------------------------------

    def _select(
        self,
        path: str,
        table: str,
        filters: Filters,
        columns: list[str] | None,
        options: Mapping[str, Any],
        arguments: Mapping[str, Any],
    ) -> pa.Table:
        """Rows of one table or view, without those that are excluded."""
        excluded = filters.excluded()
        asked = None if columns is None else columns_of(columns, excluded)
        body = {**options, **given(select_columns=asked), **filters.body(table)}
        found = self._whole(self._rows(path, body, arguments, asked), options.get("limit"), path)
        if missing := [name for name in excluded if name not in found.column_names]:
            raise ValueError(f"'{table}' has no column '{missing[0]}' to exclude by")
        found = rows.without(found, excluded)
        if columns is not None and (helpers := [name for name in excluded if name not in columns]):
            found = found.drop_columns(helpers)
        return found

    def _rows(
        self, path: str, body: Mapping[str, Any], arguments: Mapping[str, Any], columns: list[str] | None = None
    ) -> pa.Table:
        """What a query answers, as it is."""
        if self._service.version < 3:
            problem = "this service speaks version 2 of 'materialize' only, whose queries current servers do not answer"
            raise VersionError("POST", f"{self._service.server}/{self._base()}/{path}", problem)
        params = {**queries.ARGUMENTS, **arguments}
        url = f"{self._service.server}/{self._base()}/{path}"
        call = Call("POST", url, params, encode(body), headers=queries.HEADERS)
        found = self._service.transport.send(call, rows.arrow_of)
        for notice in rows.notices_of(found):
            self._service.transport.warn_once(notice)
        return found if columns is None else rows.only_asked(found, columns)

    def _whole(self, found: pa.Table, limit: int | None, path: str) -> pa.Table:
        """The rows; LimitError if the service may have left some out and nobody asked for that."""
        if not rows.is_limited(found) or (limit is not None and len(found) == limit):
            return found
        raise LimitError(
            "POST",
            f"{self._service.server}/{self._base()}/{path}",
            f"the service gave {len(found):,} rows, the most that it gives at a time, and may have more",
            hint="narrow the query with filters or give limit=; id_windows() reads a whole table",
        )

    def _odd_rows(self, path: str) -> Callable[[str], Exception]:
        return lambda problem: self._service.odd(f"{self._base()}/{path}", problem, method="POST")


def _no_exclusions(filters: Filters) -> None:
    if filters.out:
        raise ValueError("a join has no exclusions: services ignore them, and names in the answer may have suffixes")
