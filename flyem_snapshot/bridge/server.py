"""The HTTP side of the bridge: connections, encryption, tokens, limits.

Python's own threading server serves it: the bridge is for one person or a small group, every request waits for the
database anyway, and nothing more has to be installed.
"""

from __future__ import annotations

import contextlib
import ipaddress
import json
import logging
import select
import shutil
import socket
import socketserver
import ssl
import sys
import threading
import time
import urllib.parse
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from typing import Any, Final

from flyem_snapshot.bridge.replies import JSON, ClientGone, Refused, Reply, Request, json_bytes
from flyem_snapshot.bridge.routes import Api
from flyem_snapshot.bridge.tokens import accepted, presented
from flyem_snapshot.errors import ServiceError

logger = logging.getLogger(__name__)

LARGEST_REQUEST: Final = 16 * 2**20
"""Bytes of a request's body: a query that lists a million bodies."""

CONNECTIONS: Final = 64
"""Open at once; further ones are closed."""

SILENCE: Final = 60.0
"""Seconds after which a connection that says nothing is closed."""


@dataclass(frozen=True)
class Access:
    """Who may ask: holders of the token, or everybody without one; and the names that this server goes by.

    Where only this machine can reach the server, requests under foreign names are refused: a web page whose name was
    made to lead here could otherwise read the database through its visitor's browser.
    """

    token: str | None = None
    hosts: frozenset[str] | None = None


class BridgeServer(ThreadingHTTPServer):
    """Listens; one thread a connection."""

    daemon_threads = True
    request_queue_size = CONNECTIONS

    def __init__(
        self, address: tuple[str, int], api: Api, access: Access, encryption: ssl.SSLContext | None = None
    ) -> None:
        """Listen at host and port (0: any free one).  ServiceError: the address cannot be used."""
        self.api = api
        self.access = access
        self._encryption = encryption
        self._free = threading.BoundedSemaphore(CONNECTIONS)
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        try:
            super().__init__(address, Handler)
        except (OSError, OverflowError) as error:
            where = f"{address[0]}:{address[1]}"
            raise ServiceError("listen", where, str(error), hint="another --port or --host may be free") from error

    @property
    def port(self) -> int:
        """The port that clients connect to."""
        return int(self.server_address[1])

    def server_bind(self) -> None:
        """Take the address, without asking the network for this machine's name as the base class does."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), self.port

    def process_request(self, request: Any, client_address: Any) -> None:
        """Start a thread for a connection, unless there are too many."""
        if self._free.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            logger.warning("more than %d connections: one was closed", CONNECTIONS)
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serve one connection."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def finish_request(self, request: Any, client_address: Any) -> None:
        """Encrypt, in the connection's own thread so that nobody else waits, and answer its requests."""
        if self._encryption is None:
            super().finish_request(request, client_address)
            return
        request.settimeout(SILENCE)
        with self._encryption.wrap_socket(request, server_side=True) as encrypted:
            super().finish_request(encrypted, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 - the base class passes them
        """Note what ended a connection: a client's affair (it hung up, it speaks no TLS) is no error of ours."""
        error = sys.exception()
        level = logging.DEBUG if isinstance(error, OSError) else logging.ERROR
        logger.log(level, "a connection ended early: %r", error)


class Handler(BaseHTTPRequestHandler):
    """The requests of one connection."""

    server: BridgeServer
    protocol_version = "HTTP/1.1"
    server_version = "flyem-snapshot"
    sys_version = ""
    timeout = SILENCE

    def do_GET(self) -> None:
        """Answer a request."""
        self._respond()

    do_POST = do_PUT = do_DELETE = do_PATCH = do_GET  # noqa: N815 - the base class looks for these names

    def _respond(self) -> None:
        started = time.monotonic()
        url = urllib.parse.urlsplit(self.path)
        try:
            status = self._send(self._reply(url))
        except ClientGone:
            status = 499  # nginx's number for this
        except Refused as refused:
            status = self._refuse(refused.status, refused.message)
        except ServiceError as error:
            status = self._refuse(502, str(error))
        except OSError as error:
            logger.debug("the connection broke: %s", error)
            status = 499
        except Exception:
            logger.exception("a bug in the bridge; the client was told so")
            self._refuse(500, "the bridge failed: this is a bug in flyem-snapshot")
            raise
        logger.info("%s %s %d %.3f s", self.command, url.path, status, time.monotonic() - started)

    def _reply(self, url: urllib.parse.SplitResult) -> Reply:
        body = self._body()
        self._check_host()
        token = presented(self.headers.get("Authorization"))
        expected = self.server.access.token
        if expected is not None and not accepted(token, expected):
            raise Refused(401, "this server wants a token that was not given, or is not the right one")
        query = {name: values[-1] for name, values in urllib.parse.parse_qs(url.query).items()}
        # A body counts only where there is one to be read: whoever sends none asks by the address alone.
        request = Request((), {**query, **_fields(body)}, token, self._still_there)
        return self.server.api.answer(self.command, url.path, request)

    def _check_host(self) -> None:
        hosts = self.server.access.hosts
        if hosts is None:
            return
        name = urllib.parse.urlsplit(f"//{self.headers.get('Host', '')}").hostname
        if name not in hosts:
            raise Refused(421, f"this server goes by {', '.join(sorted(hosts))} only")

    def _body(self) -> bytes:
        """The body of the request, read in any case: what is left unread would be taken for the next request."""
        if "chunked" in self.headers.get("Transfer-Encoding", "").lower():
            self.close_connection = True
            raise Refused(411, "say how long the request is (Content-Length)")
        text = self.headers.get("Content-Length", "0")
        if not (text.isascii() and text.isdigit()):
            self.close_connection = True
            raise Refused(400, "Content-Length is no number")
        size = int(text)
        if size > LARGEST_REQUEST:
            self._discard(size)
            raise Refused(413, f"the request has {size:,} bytes; at most {LARGEST_REQUEST:,} are read")
        body = self.rfile.read(size)
        if len(body) < size:
            raise ClientGone
        return body

    def _discard(self, size: int) -> None:
        """Read some of what is too long: many clients look for an answer only when they have sent all."""
        self.close_connection = True
        left = min(size, 4 * LARGEST_REQUEST)
        until = time.monotonic() + SILENCE
        while left > 0 and time.monotonic() < until:
            read = len(self.rfile.read(min(left, 2**16)))
            if not read:
                return
            left -= read

    def _still_there(self) -> None:
        if hung_up(self.connection):
            raise ClientGone

    def _send(self, reply: Reply, status: int = 200) -> int:
        stream = BytesIO(reply.body) if isinstance(reply.body, bytes) else reply.body
        with stream:
            self.send_response(status)
            self.send_header("Content-Type", reply.content_type)
            self.send_header("Content-Length", str(reply.size))
            self.send_header("Cache-Control", "no-store")
            self.send_header("X-Content-Type-Options", "nosniff")
            if status == HTTPStatus.UNAUTHORIZED:
                self.send_header("WWW-Authenticate", "Bearer")
            if self.close_connection:
                self.send_header("Connection", "close")
            self.end_headers()
            if self.command != "HEAD":
                shutil.copyfileobj(stream, self.wfile, 2**16)
        return status

    def _refuse(self, status: int, message: str) -> int:
        with contextlib.suppress(OSError):
            self._send(Reply.of_bytes(JSON, json_bytes({"error": message})), status)
        return status

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """What the base class refuses (no HTTP, an unknown method), in JSON as everything else."""
        self.close_connection = True
        if not hasattr(self, "command") or self.command is None:
            self.command = ""
        self.request_version = self.protocol_version  # else the base class takes it for HTTP/0.9, which has no headers
        self._refuse(code, message or explain or HTTPStatus(code).phrase)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class names it so
        """Nothing: `_respond` logs what is worth it, and never a header."""


def _fields(body: bytes) -> dict[str, Any]:
    if not body.strip():
        return {}
    try:
        value = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Refused(400, f"the request's body is no JSON: {error}") from error
    if not isinstance(value, dict):
        raise Refused(400, "the request's body is no JSON object")
    return value


def hung_up(connection: socket.socket) -> bool:
    """Whether the other side has closed its end."""
    poll = select.poll()
    poll.register(connection, getattr(select, "POLLRDHUP", 0) | select.POLLHUP | select.POLLERR)
    return bool(poll.poll(0))


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a server that listens at `host`."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
