"""Tokens: where they come from, how they are kept, and what the server knows about their owner."""

from __future__ import annotations

import logging
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flyem_snapshot.cave import tokens
from flyem_snapshot.cave.encoding import id_list
from flyem_snapshot.cave.http import segment
from flyem_snapshot.cave.service import Service, record, records

if TYPE_CHECKING:
    from flyem_snapshot.cave.http import Transport

logger = logging.getLogger(__name__)

_INSTRUCTIONS = """\
A new token has to be fetched by hand:
  1) Go to {url}
  2) Log in with your Google account, and copy the token that the page shows.
  3a) Keep it on this computer: client.auth.save_token(token="PASTE_YOUR_TOKEN_HERE")
  or
  3b) use it in this session only: client.auth.token = "PASTE_YOUR_TOKEN_HERE"
Tokens that you have already go on working; they are listed at {page}
To keep several tokens, give save_token() a token_key= or a token_file=, and FrameworkClient the same as auth_token_key=
or auth_token_file=."""


class AuthClient:
    """The token of a client.

    It is `auth_token` if given; else that under the key `auth_token_key` in `auth_token_file`, if given; else in the
    first of these files that has the key, all in `~/.cloudvolume/secrets`: `{host}-cave-secret.json`,
    `cave-secret.json`, `chunkedgraph-secret.json`.  Files are read here, nothing is asked of a server; a file that was
    named and has no such key is logged.
    """

    def __init__(
        self,
        transport: Transport,
        server: str,
        *,
        token: str | None = None,
        token_file: Path | str | None = None,
        token_key: str = tokens.KEY,
    ) -> None:
        self._transport = transport
        self._service = Service(transport, "auth", lambda: server, speaks=(1,))
        self._file = Path(token_file).expanduser() if token_file is not None else None
        self._key = token_key
        if token is not None:
            self.token = token
        else:
            transport.token = self._found()

    def __repr__(self) -> str:
        return f"<AuthClient of {self._service.server}, {'with' if self.token else 'without'} a token>"

    @property
    def token(self) -> str | None:
        """The token, None if there is none.  A new one counts at once, for all parts of the client."""
        return self._transport.token

    @token.setter
    def token(self, token: str | None) -> None:
        """Use a token from now on, without keeping it; None means none.  TokenFileError if it cannot be one."""
        self._transport.token = None if token is None else tokens.checked_token(token, "the token")

    @property
    def token_file(self) -> Path:
        """The file that `save_token` writes to unless it is told another."""
        return self._file or tokens.secrets_folder() / tokens.DEFAULT_FILE

    @property
    def token_key(self) -> str:
        """The key of the token in its file."""
        return self._key

    def save_token(
        self,
        token: str | None = None,
        token_key: str | None = None,
        overwrite: bool = False,
        token_file: Path | str | None = None,
        switch_token: bool = True,
    ) -> None:
        """Keep a token (by default the present one) in a file, which its owner only can read, beside its other keys.

        Without `token_file` it goes to `chunkedgraph-secret.json`, and to those files that would be read before that
        one and have the key, so that every new client finds it.  TokenFileError, which is a ValueError, if another
        token is there and not `overwrite`.  With `switch_token` the client uses it from now on.
        """
        new = tokens.checked_token(self.token if token is None else token, "the new token")
        key = self._key if token_key is None else token_key
        tokens.save_token(new, self._write_to(token_file, key), key, overwrite=overwrite)
        if switch_token:
            self.token = new
            self._key = key
            if token_file is not None:
                self._file = Path(token_file).expanduser()

    def get_new_token(self, open: bool = False) -> None:  # noqa: A002 - the tutorial's argument
        """Print how to get a token; with `open` show the page in a browser, too."""
        url = f"{self._service.server}/auth/api/v1/create_token"
        page = f"{self._service.server}/sticky_auth/settings/tokens"
        print(_INSTRUCTIONS.format(url=url, page=page))  # noqa: T201 - instructions on the screen are what it is for
        if open:
            webbrowser.open(url)

    def get_tokens(self) -> list[dict[str, Any]]:
        """The records of the tokens that the server keeps for the user."""
        return self._service.get("auth/api/v1/user/token", records)

    def get_user_information(self, user_ids: Any) -> list[dict[str, Any]]:
        """The records (`id`, `name`, `email`, ...) of users by their ids."""
        ids = ",".join(map(str, id_list(user_ids)))
        return self._service.get("auth/api/v1/user", records, params={"id": ids})

    def get_group_users(self, group_id: int) -> list[dict[str, Any]]:
        """The records of the users in a group."""
        return self._service.get(f"auth/api/v1/group/{segment(group_id)}/user", records)

    def get_permissions(self) -> dict[str, Any]:
        """What the user may do, as the server says."""
        return self._service.get("auth/api/v1/user/cache", record)

    def change(
        self, token: str | None = None, token_file: Path | str | None = None, token_key: str | None = None
    ) -> None:
        """Another token, or another place to read it from; what is not given stays as it is."""
        if token_file is not None:
            self._file = Path(token_file).expanduser()
        if token_key is not None:
            self._key = token_key
        if token is not None:
            self.token = token
        else:
            self._transport.token = self._found()

    def _found(self) -> str | None:
        """The token in the files; None if there is none, with a warning if the file was named."""
        files = [self._file] if self._file is not None else tokens.candidates(self._service.server)
        token = tokens.find_token(files, self._key)
        if token is None and self._file is not None:
            message = "%s has no token under the key '%s', or does not exist: the services are asked without one"
            logger.warning(message, self._file, self._key)
        return token

    def _write_to(self, token_file: Path | str | None, key: str) -> list[Path]:
        if token_file is not None:
            return [Path(token_file).expanduser()]
        if self._file is not None:
            return [self._file]
        *earlier, default = tokens.candidates(self._service.server)
        return [*(path for path in earlier if tokens.has_key(path, key)), default]
