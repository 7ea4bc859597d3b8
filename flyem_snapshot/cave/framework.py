"""One object for a datastack: its services, which share a server, a token and a version."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self
from urllib.parse import urlsplit

from flyem_snapshot.cave.failures import CaveError, GlobalClientError

if TYPE_CHECKING:
    from flyem_snapshot.cave.annotation import AnnotationClient
    from flyem_snapshot.cave.chunkedgraph import ChunkedGraphClient
    from flyem_snapshot.cave.info import InfoClient
    from flyem_snapshot.cave.materialize import MaterializeClient
    from flyem_snapshot.cave.schema import SchemaClient
    from flyem_snapshot.cave.state import StateClient

DEFAULT_SERVER: Final = "https://global.daf-apis.com"
_NO_VERSIONS: Final[Mapping[str, int]] = {}


class FrameworkClient:
    """The services of CAVE for one datastack; they are made when they are first used.

    `server_address`: the global server.  `local_server`: that with the datastack's own services, by default what the
    datastack's record says.  `auth_token`, `auth_token_file`, `auth_token_key`: see `auth`.  `version`: the
    materialization that `materialize` reads where none is named.  `timeout`: the longest silence within an answer,
    `connect_timeout`: the time for a host to take a call, `pause`: the first of the growing pauses between tries, all
    in seconds.  `api_versions`: versions of the protocol, by service, that are used without asking the service.

    Making one asks nothing of any server; it reads the file of tokens.  It may be shared by threads.  Every failure
    of a service is a CaveError.
    """

    def __init__(
        self,
        datastack_name: str | None = None,
        server_address: str | None = DEFAULT_SERVER,
        auth_token: str | None = None,
        auth_token_file: Path | str | None = None,
        auth_token_key: str = "token",  # noqa: S107 - the name of the token, not its value
        *,
        version: int | None = None,
        timeout: float = 300.0,
        connect_timeout: float = 10.0,
        pause: float = 0.5,
        local_server: str | None = None,
        api_versions: Mapping[str, int] = _NO_VERSIONS,
    ) -> None:
        self.datastack_name = datastack_name
        self.server_address = _address(server_address or DEFAULT_SERVER)
        self.version = version
        self._given_local = None if local_server is None else _address(local_server)
        self._api_versions = dict(api_versions)
        # Only here, so that the package can be imported by a program that may never talk to CAVE.
        from flyem_snapshot.cave.auth import AuthClient
        from flyem_snapshot.cave.http import Transport

        self._transport = Transport(timeout=timeout, connect_timeout=connect_timeout, pause=pause)
        self._transport.trust(self.server_address)
        self.auth: AuthClient = AuthClient(
            self._transport,
            self.server_address,
            token=auth_token,
            token_file=auth_token_file,
            token_key=auth_token_key,
        )
        """The token."""

    def __repr__(self) -> str:
        return f"<FrameworkClient of {self.datastack_name or 'no datastack'} at {self.server_address}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections that lie idle; the client may be used again."""
        self._transport.close()

    @cached_property
    def local_server(self) -> str:
        """The address of the server with the datastack's own services, which gets the token, too.

        CaveError if the datastack's record names one to which the token must not go: a step down from https.
        """
        if self._given_local is not None:
            address = self._given_local
        else:
            self._needs_datastack("local_server")
            address = _address(self.info.local_server())
            if urlsplit(self.server_address).scheme == "https" and urlsplit(address).scheme != "https":
                problem = f"the record of '{self.datastack_name}' names a server without https, {address}"
                raise CaveError("GET", self.server_address, problem, hint="local_server= names one that you trust")
        self._transport.trust(address)
        return address

    @cached_property
    def info(self) -> InfoClient:
        """The record of the datastack."""
        from flyem_snapshot.cave.info import InfoClient

        version = self._api_versions.get("info")
        return InfoClient(self._transport, lambda: self.server_address, self.datastack_name, version)

    @cached_property
    def state(self) -> StateClient:
        """Neuroglancer states."""
        from flyem_snapshot.cave.state import StateClient

        return StateClient(
            self._transport,
            lambda: self.server_address,
            lambda: None if self.datastack_name is None else self.info.viewer_site(),
        )

    @cached_property
    def schema(self) -> SchemaClient:
        """Types of annotations."""
        from flyem_snapshot.cave.schema import SchemaClient

        return SchemaClient(self._transport, lambda: self.server_address, self._api_versions.get("schema"))

    @cached_property
    def annotation(self) -> AnnotationClient:
        """Annotations as they were entered, without roots."""
        from flyem_snapshot.cave.annotation import AnnotationClient

        self._needs_datastack("annotation")
        return AnnotationClient(
            self._transport, lambda: self.local_server, self.info, self._api_versions.get("annotation")
        )

    @cached_property
    def chunkedgraph(self) -> ChunkedGraphClient:
        """Which supervoxels belong to which root, and when."""
        from flyem_snapshot.cave.chunkedgraph import ChunkedGraphClient

        self._needs_datastack("chunkedgraph")
        return ChunkedGraphClient(
            self._transport, lambda: self.local_server, self.info, self._api_versions.get("chunkedgraph")
        )

    @cached_property
    def materialize(self) -> MaterializeClient:
        """Annotations with their roots, as they were at the time of a version."""
        from flyem_snapshot.cave.materialize import MaterializeClient

        name = self._needs_datastack("materialize")
        return MaterializeClient(
            self._transport,
            lambda: self.local_server,
            name,
            version=self.version,
            api_version=self._api_versions.get("materialize"),
        )

    def change_auth(
        self,
        auth_token_file: Path | str | None = None,
        auth_token_key: str | None = None,
        auth_token: str | None = None,
    ) -> None:
        """Use another token from now on, in all services; a file or a key that is not given stays as it is."""
        self.auth.change(token=auth_token, token_file=auth_token_file, token_key=auth_token_key)

    def _needs_datastack(self, what: str) -> str:
        if self.datastack_name is None:
            hint = "name one: FrameworkClient('minnie65_public'); client.info.get_datastacks() lists them"
            raise GlobalClientError(f"'{what}' needs a datastack, and this client has none", hint=hint)
        return self.datastack_name


def _address(server: str) -> str:
    """A server's address with a scheme and without a slash at its end; CaveError if it cannot be one."""
    address = server.strip()
    address = (address if "://" in address else f"https://{address}").rstrip("/")
    try:
        parts = urlsplit(address)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        good = False
    if not good or parts.query or parts.fragment or parts.username is not None:
        # What stands before an @ may be a password.
        shown = address.partition("?")[0].rpartition("@")[2]
        raise CaveError("GET", shown, "this is not the address of a server", hint=f"it looks like {DEFAULT_SERVER}")
    return address
