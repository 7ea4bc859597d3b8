"""The info service: what belongs to a datastack, and where it is."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from threading import Lock
from typing import TYPE_CHECKING, Any

from flyem_snapshot.cave import paths
from flyem_snapshot.cave.encoding import one_id
from flyem_snapshot.cave.failures import GlobalClientError
from flyem_snapshot.cave.http import segment
from flyem_snapshot.cave.service import Service, names, record

if TYPE_CHECKING:
    from flyem_snapshot.cave.http import Transport


class InfoClient:
    """Records of datastacks and volumes.  A datastack's record is asked for once and kept.

    Methods that take `datastack_name` mean the client's own datastack if it is None; with `use_stored=False` the
    record is asked for again.  `format_for` is `raw`, `neuroglancer` or `cloudvolume` (see `paths.formatted`).
    """

    def __init__(
        self,
        transport: Transport,
        server: Callable[[], str],
        datastack_name: str | None,
        api_version: int | None = None,
    ) -> None:
        self._service = Service(
            transport,
            "info",
            server,
            speaks=(2,),
            versions="info/api/versions",
            software="info/version",
            chosen=api_version,
        )
        self.datastack_name = datastack_name
        self._stored: dict[str, dict[str, Any]] = {}
        self._lock = Lock()

    def __repr__(self) -> str:
        return f"<InfoClient of {self.datastack_name or 'no datastack'} at {self.server_address}>"

    @property
    def server_address(self) -> str:
        """The address of the global server."""
        return self._service.server

    @property
    def server_version(self) -> str | None:
        """The version of the service's software; None if it does not say."""
        return self._service.software_version()

    def get_datastacks(self) -> list[str]:
        """The names of the datastacks that the user may see."""
        return self._service.get(f"{self._base()}/datastacks", names)

    def get_datastack_info(self, datastack_name: str | None = None, use_stored: bool = True) -> dict[str, Any]:
        """The record of a datastack: `aligned_volume` (a record), `segmentation_source`, `local_server`,
        `synapse_table`, `soma_table`, `viewer_site`, ...  NotFound if there is none of that name.
        """
        name = self._name(datastack_name)
        with self._lock:
            if not use_stored or name not in self._stored:
                self._stored[name] = self._service.get(f"{self._base()}/datastack/full/{segment(name)}", record)
            return copy.deepcopy(self._stored[name])

    def refresh_stored_data(self) -> None:
        """Forget the records, so that they are asked for again."""
        with self._lock:
            self._stored.clear()

    def get_aligned_volumes(self) -> list[str]:
        """The names of the aligned volumes."""
        return self._service.get(f"{self._base()}/aligned_volume", names)

    def get_aligned_volume_info(self, datastack_name: str | None = None, use_stored: bool = True) -> dict[str, Any]:
        """The record of a datastack's aligned volume: `id`, `name`, `description`, `image_source`, ..."""
        volume = self.get_datastack_info(datastack_name, use_stored=use_stored).get("aligned_volume")
        if not isinstance(volume, dict):
            name = self._name(datastack_name)
            raise self._service.odd(f"{self._base()}/datastack/full/{segment(name)}", "it names no aligned volume")
        return volume

    def get_aligned_volume_info_by_id(self, aligned_volume_id: int) -> dict[str, Any]:
        """The record of the aligned volume with that number."""
        return self._service.get(f"{self._base()}/aligned_volume/id/{one_id(aligned_volume_id)}", record)

    def get_datastacks_by_aligned_volume(self, aligned_volume: str) -> list[str]:
        """The names of the datastacks of an aligned volume."""
        return self._service.get(f"{self._base()}/aligned_volume/{segment(aligned_volume)}/datastacks", names)

    def local_server(self, datastack_name: str | None = None, use_stored: bool = True) -> str:
        """The address of the server with the datastack's own services."""
        return self._text(self.get_datastack_info(datastack_name, use_stored=use_stored), "local_server").rstrip("/")

    def annotation_endpoint(self, datastack_name: str | None = None, use_stored: bool = True) -> str:
        """The address of the datastack's annotation service."""
        return f"{self.local_server(datastack_name, use_stored=use_stored)}/annotation"

    def aligned_volume_name(self, datastack_name: str | None = None, use_stored: bool = True) -> str:
        """The name of the datastack's aligned volume."""
        return self._text(self.get_aligned_volume_info(datastack_name, use_stored=use_stored), "name")

    def image_source(
        self, datastack_name: str | None = None, use_stored: bool = True, format_for: str = "raw"
    ) -> str | None:
        """Where the images are."""
        volume = self.get_aligned_volume_info(datastack_name, use_stored=use_stored)
        return paths.formatted(volume.get("image_source"), format_for)

    def segmentation_source(
        self, datastack_name: str | None = None, use_stored: bool = True, format_for: str = "raw"
    ) -> str | None:
        """Where the segmentation is: the address of its chunked graph, or of a flat volume."""
        return self._path("segmentation_source", datastack_name, use_stored, format_for)

    def synapse_segmentation_source(
        self, datastack_name: str | None = None, use_stored: bool = True, format_for: str = "raw"
    ) -> str | None:
        """Where the segmentation of the synapses is, in records that have one."""
        return self._path("synapse_segmentation_source", datastack_name, use_stored, format_for)

    def skeleton_source(
        self, datastack_name: str | None = None, use_stored: bool = True, format_for: str = "raw"
    ) -> str | None:
        """Where skeletons are, in records that have any."""
        return self._path("skeleton_source", datastack_name, use_stored, format_for)

    def viewer_site(self, datastack_name: str | None = None, use_stored: bool = True) -> str | None:
        """The address of the Neuroglancer that the datastack is shown in."""
        site = self.get_datastack_info(datastack_name, use_stored=use_stored).get("viewer_site")
        return site if isinstance(site, str) and site else None

    def viewer_resolution(
        self, datastack_name: str | None = None, use_stored: bool = True
    ) -> tuple[float, float, float] | None:
        """Nanometres of the viewer's voxel along x, y and z; None if the record does not have all three."""
        info = self.get_datastack_info(datastack_name, use_stored=use_stored)
        sizes = [info.get(f"viewer_resolution_{axis}") for axis in "xyz"]
        if not all(isinstance(size, int | float) and not isinstance(size, bool) for size in sizes):
            return None
        x, y, z = (float(size) for size in sizes if size is not None)
        return x, y, z

    def _path(self, key: str, datastack_name: str | None, use_stored: bool, format_for: str) -> str | None:
        return paths.formatted(self.get_datastack_info(datastack_name, use_stored=use_stored).get(key), format_for)

    def _name(self, datastack_name: str | None) -> str:
        name = datastack_name or self.datastack_name
        if name is None:
            hint = "name one: FrameworkClient('minnie65_public'); client.info.get_datastacks() lists them"
            raise GlobalClientError("this client has no datastack", hint=hint)
        return name

    def _text(self, info: Mapping[str, Any], key: str) -> str:
        if isinstance(value := info.get(key), str) and value:
            return value
        raise self._service.odd(f"{self._base()}/datastack/full/{self.datastack_name}", f"its record has no '{key}'")

    def _base(self) -> str:
        return f"info/api/v{self._service.version}"
