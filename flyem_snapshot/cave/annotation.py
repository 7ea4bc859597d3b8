"""The annotation service: tables of annotations as people entered them, without roots."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from flyem_snapshot.cave.encoding import exact, id_list
from flyem_snapshot.cave.http import Incomplete, segment
from flyem_snapshot.cave.service import Service, anything, integer, integers, names, record, records, text
from flyem_snapshot.cave.uploads import Upload

if TYPE_CHECKING:
    import pandas as pd

    from flyem_snapshot.cave.http import Transport
    from flyem_snapshot.cave.info import InfoClient

logger = logging.getLogger(__name__)

LONGEST_QUERY: Final = 3_000
"""Characters of ids in a URL: some servers take no more than 4,094 in all."""


class AnnotationClient:
    """The annotation tables of a datastack's aligned volume.

    An annotation is a dict by the table's schema, such as `{"pt": {"position": [1, 2, 3]}, "volume": 71.1}`; numpy
    values may be anywhere in it, and fields that the schema does not know are dropped by the service.  Ids (`id`,
    `target_id`, ...) are integers: TypeError for floats, which cannot hold them, but NaN means that there is none.
    Nothing that changes a table is sent twice, unless it is certain that it was not done.
    """

    def __init__(
        self,
        transport: Transport,
        server: Callable[[], str],
        info: InfoClient,
        api_version: int | None = None,
    ) -> None:
        self._service = Service(
            transport, "annotation", server, speaks=(2,), versions="annotation/api/versions", chosen=api_version
        )
        self._info = info

    def __repr__(self) -> str:
        return f"<AnnotationClient of {self._info.datastack_name}>"

    @property
    def aligned_volume_name(self) -> str:
        """The name of the aligned volume to which the tables belong."""
        return self._info.aligned_volume_name()

    # --- tables -----------------------------------------------------------------------------------------------------

    def get_tables(self, aligned_volume_name: str | None = None) -> list[str]:
        """The names of the tables; a table that was deleted is still among them."""
        return self._service.get(self._path(aligned_volume_name), names)

    def get_table_metadata(self, table_name: str, aligned_volume_name: str | None = None) -> dict[str, Any]:
        """The record of a table: `schema_type`, `description`, `user_id`, `reference_table`, `notice_text`, ...

        `voxel_resolution` is [x, y, z] in nanometres, if the record has all three.
        """
        found = self._service.get(self._path(aligned_volume_name, table_name), record)
        if notice := found.get("notice_text"):
            self._service.transport.warn_once(f"the owner of table '{table_name}' says: {notice}")
        return _with_resolution(found)

    def create_table(
        self,
        table_name: str,
        schema_name: str,
        description: str = "",
        voxel_resolution: Iterable[float] | None = None,
        *,
        reference_table: str | None = None,
        track_target_id_updates: bool | None = None,
        flat_segmentation_source: str | None = None,
        user_id: int | None = None,
        aligned_volume_name: str | None = None,
        write_permission: str = "PRIVATE",
        read_permission: str = "PUBLIC",
        notice_text: str | None = None,
    ) -> str:
        """Make a table of a schema, and return its name.

        `voxel_resolution`: nanometres of a voxel along x, y and z, in whose units positions will be given; by default
        those of the datastack's viewer, which is logged.  Permissions are PUBLIC, GROUP or PRIVATE.  Conflict if the
        name is taken; Invalid for an unknown schema, and for a name not of small letters, digits and underscores.
        """
        about = {"reference_table": reference_table, "track_target_id_updates": track_target_id_updates}
        x, y, z = self._resolution(table_name, voxel_resolution)
        metadata = {
            "description": description,
            "voxel_resolution_x": x,
            "voxel_resolution_y": y,
            "voxel_resolution_z": z,
            "flat_segmentation_source": flat_segmentation_source,
            "user_id": user_id,
            "write_permission": write_permission,
            "read_permission": read_permission,
            "notice_text": notice_text,
            "table_metadata": _given(about) or None,
        }
        body = {"schema_type": schema_name, "table_name": table_name, "metadata": _given(metadata)}
        return self._service.change("POST", self._path(aligned_volume_name), body, text, in_words=True)

    def update_metadata(
        self, table_name: str, aligned_volume_name: str | None = None, **metadata: Any
    ) -> dict[str, Any]:
        """Change what a table's record says, such as `description=` or `notice_text=`; the new record."""
        if (resolution := metadata.pop("voxel_resolution", None)) is not None:
            metadata |= {f"voxel_resolution_{axis}": float(size) for axis, size in zip("xyz", resolution, strict=True)}
        body = {"table_name": table_name, "metadata": metadata}
        return _with_resolution(self._service.change("PUT", self._path(aligned_volume_name), body, record))

    def delete_table(self, table_name: str, aligned_volume_name: str | None = None) -> bool:
        """Mark a table as deleted; what the service answers."""
        answer = self._service.change("DELETE", self._path(aligned_volume_name, table_name), None, anything)
        return answer is True

    # --- annotations ------------------------------------------------------------------------------------------------

    def get_annotation_count(self, table_name: str, aligned_volume_name: str | None = None) -> int:
        """How many rows a table has, those included that were deleted or replaced by others."""
        return self._service.get(f"{self._path(aligned_volume_name, table_name)}/count", integer)

    def get_annotation(
        self,
        table_name: str,
        annotation_ids: Any = None,
        aligned_volume_name: str | None = None,
        *,
        annotation_id: Any = None,
    ) -> list[dict[str, Any]]:
        """Annotations by their ids (one, or a list, array or Series), in your order; unknown ids are left out.

        Positions are lists [x, y, z] under `<point>_position`; `deleted` is the text "None" if a row was not.
        """
        given = annotation_ids if annotation_id is None else annotation_id
        if given is None:
            raise TypeError("get_annotation needs annotation_ids")
        path = f"{self._path(aligned_volume_name, table_name)}/annotations"
        found: dict[int, dict[str, Any]] = {}
        wanted = id_list(given)
        for query in _queries(list(dict.fromkeys(wanted))):
            rows = self._service.get(path, records, params={"annotation_ids": query})
            found |= {integer(row.get("id")): row for row in rows}
        return [found[number] for number in wanted if number in found]

    def post_annotation(
        self,
        table_name: str,
        data: Mapping[str, Any] | Iterable[Mapping[str, Any]],
        aligned_volume_name: str | None = None,
        *,
        choose_ids: bool = False,
    ) -> list[int]:
        """Upload one annotation or any number of them, in batches of 10,000; their ids, in your order.

        A batch whose answer is lost is looked up by its ids: if it is there, the upload goes on, and if it is not, the
        batch is sent again.  That needs ids: your own (`"id"` in each annotation), or with `choose_ids` random ones
        between 2**52 and 2**53.  Without, ids are given by the service, each batch is sent once, and a lost answer
        ends the upload.  Unfinished says which rows are there.  All values are looked at before the first row is sent.
        """
        rows = [data] if isinstance(data, Mapping) else data
        path = f"{self._path(aligned_volume_name, table_name)}/annotations"

        def insert(batch: list[dict[str, Any]]) -> list[int]:
            return self._service.change("POST", path, {"annotations": batch}, _as_many(len(batch)))

        def look_up(ids: list[int]) -> list[dict[str, Any]]:
            return self.get_annotation(table_name, ids, aligned_volume_name)

        return Upload(insert, look_up, choose_ids=choose_ids).run([_row(row) for row in rows])

    def post_annotation_df(
        self,
        table_name: str,
        df: pd.DataFrame,
        aligned_volume_name: str | None = None,
        *,
        choose_ids: bool = False,
    ) -> list[int]:
        """Upload the rows of a DataFrame; a column `<point>_position` holds positions, and an empty value is none.

        TypeError for ids in a column of floats, which pandas makes of integers where one is missing: the dtype Int64
        keeps them.
        """
        rows = (_nested(row) for row in df.to_dict("records"))
        return self.post_annotation(table_name, rows, aligned_volume_name, choose_ids=choose_ids)

    def update_annotation(
        self,
        table_name: str,
        data: Mapping[str, Any] | Iterable[Mapping[str, Any]],
        aligned_volume_name: str | None = None,
    ) -> dict[int, int]:
        """Replace annotations: each has the `id` of the old one and all required fields.  Old id -> new id.

        Conflict for one that was replaced before.
        """
        path = f"{self._path(aligned_volume_name, table_name)}/annotations"
        rows = [_row(row) for row in ([data] if isinstance(data, Mapping) else data)]
        if any("id" not in row for row in rows):
            raise ValueError("an annotation to be updated needs the 'id' of the one that it replaces")
        new: dict[int, int] = {}
        for batch in _batches(rows):
            new |= self._service.change("PUT", path, {"annotations": batch}, _ids_by_id)
        return new

    def delete_annotation(
        self, table_name: str, annotation_ids: Any, aligned_volume_name: str | None = None
    ) -> list[int]:
        """Mark annotations as deleted; the ids that were.  NotFound, and none is, if one of a batch is unknown."""
        path = f"{self._path(aligned_volume_name, table_name)}/annotations"
        marked: list[int] = []
        for batch in _batches(id_list(annotation_ids)):
            marked += self._service.change("DELETE", path, {"annotation_ids": batch}, integers)
        return marked

    def _path(self, aligned_volume_name: str | None, table_name: str | None = None) -> str:
        volume = segment(aligned_volume_name or self.aligned_volume_name)
        path = f"annotation/api/v{self._service.version}/aligned_volume/{volume}/table"
        return path if table_name is None else f"{path}/{segment(table_name)}"

    def _resolution(self, table_name: str, given: Iterable[float] | None) -> tuple[float, float, float]:
        if given is not None:
            x, y, z = (float(size) for size in given)
            return x, y, z
        found = self._info.viewer_resolution()
        if found is None:
            raise ValueError("voxel_resolution is needed: nanometres of a voxel along x, y and z")
        shown = " x ".join(f"{size:g}" for size in found)
        message = "table '%s' is made with voxels of %s nm, those of the viewer; voxel_resolution= says otherwise"
        logger.warning(message, table_name, shown)
        return found


def _as_many(count: int) -> Callable[[Any], list[int]]:
    def check(answer: Any) -> list[int]:
        if len(ids := integers(answer)) != count:
            raise Incomplete(f"{len(ids):,} ids came for {count:,} annotations")
        return ids

    return check


def _ids_by_id(answer: Any) -> dict[int, int]:
    try:
        return {int(old): integer(new) for old, new in record(answer).items()}
    except ValueError:
        raise Incomplete("an id was expected") from None


def _batches(rows: list[Any]) -> Iterator[list[Any]]:
    for start in range(0, len(rows), Upload.BATCH):
        yield rows[start : start + Upload.BATCH]


def _queries(ids: list[int]) -> Iterator[str]:
    """Ids joined by commas, as many at a time as a URL may have."""
    part: list[str] = []
    length = 0
    for number in map(str, ids):
        if part and length + len(number) + 1 > LONGEST_QUERY:
            yield ",".join(part)
            part, length = [], 0
        part.append(number)
        length += len(number) + 1
    if part:
        yield ",".join(part)


def _given(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None}


def _with_resolution(found: dict[str, Any]) -> dict[str, Any]:
    """A record with `voxel_resolution` in the place of its three parts, if it has them."""
    parts = [f"voxel_resolution_{axis}" for axis in "xyz"]
    if not all(part in found for part in parts):
        return found
    rest = {key: value for key, value in found.items() if key not in parts}
    return {**rest, "voxel_resolution": [found[part] for part in parts]}


def _row(annotation: Mapping[Any, Any]) -> dict[str, Any]:
    """An annotation as it is sent: without an `id` that is missing; TypeError for an id that is a float."""
    row = exact(annotation)
    return row if row.get("id", 0) is not None else {name: value for name, value in row.items() if name != "id"}


def _nested(row: Mapping[Any, Any]) -> dict[str, Any]:
    """An annotation from a row in which positions have columns of their own; what is missing is left out."""
    values = exact(row)
    nested: dict[str, Any] = {}
    for name, value in values.items():
        if value is None:
            continue
        if name.endswith("_position"):
            nested[name.removesuffix("_position")] = {"position": value}
        else:
            nested[name] = value
    return nested
