"""HTTP/1.1: reads requests, has them answered, and sends the answers with their framing, faults and hooks."""

from __future__ import annotations

import contextlib
import itertools
import socket
import sys
import threading
import time
import traceback
from collections.abc import Iterable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote, urlsplit

from tests.dvid_double.faults import CutHere
from tests.dvid_double.replies import Panic, Refusal, Reply, Request
from tests.dvid_double.routing import route

if TYPE_CHECKING:
    from tests.dvid_double.server import DvidDouble, Hook

LONGEST_LENGTH_KNOWN = 2048
"""Go announces the length of answers up to this size; longer ones come in chunks."""

KEPT_BODY = 1 << 20
"""Longer bodies of requests are answered, but not kept in the log of requests."""


class Server(ThreadingHTTPServer):
    """Knows its connections, so that it can cut them."""

    daemon_threads = False  # `server_close` waits for them: nothing is left behind in a test
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], handler: type[Handler], dvid: DvidDouble) -> None:
        self.dvid = dvid
        self.open: set[socket.socket] = set()
        super().__init__(address, handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        self.open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self.open.discard(request)
        super().shutdown_request(request)

    def cut_connections(self) -> None:
        """Make every handler read the end of its connection."""
        for connection in list(self.open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is nothing; anything else is a mistake of the double or of a hook."""
        if not self.dvid.stopping.is_set() and not isinstance(sys.exception(), ConnectionError):
            self.dvid.crashes.append(traceback.format_exc())


class Handler(BaseHTTPRequestHandler):
    """HTTP/1.1 with kept connections: a request's body is always read, an answer's end is always marked."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else small answers wait 40 ms for an acknowledgement
    wbufsize = 1 << 16
    server: Server

    def setup(self) -> None:
        super().setup()
        self.number = next(self.server.dvid.connections)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is the base class's
        """Keep quiet."""

    def do_GET(self) -> None:
        self._answer()

    do_POST = do_PUT = do_DELETE = do_HEAD = do_GET  # noqa: N815 - the names are the base class's

    def _answer(self) -> None:
        dvid = self.server.dvid
        request = self._request()
        if dvid.log:
            dvid.requests.append(request)
        hooks = dvid.due(request)
        for hook in hooks:
            if hook.when == "before":
                hook.function()
        try:
            reply = dvid.faults.applied(request, self._reply, dvid.stopping)
            request.status = reply.status
            self._send(request, reply, hooks)
        except CutHere:
            self.close_connection = True
            self._flush_and_cut()
        finally:
            request.ended = time.monotonic()
            if request.body_size > KEPT_BODY:
                request.body = b""

    def _request(self) -> Request:
        started = time.monotonic()
        parts = urlsplit(self.path)
        body = self._body()
        return Request(
            method=self.command,
            path=unquote(parts.path),
            args=dict(parse_qsl(parts.query, keep_blank_values=True)),
            headers={name.lower(): value for name, value in self.headers.items()},
            body=body,
            body_size=len(body),
            thread=threading.current_thread().name,
            started=started,
            connection=self.number,
        )

    def _body(self) -> bytes:
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            parts = []
            while size := int(self.rfile.readline().split(b";")[0], 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def _reply(self, request: Request) -> Reply:
        """The honest answer, errors included."""
        dvid = self.server.dvid
        try:
            return route(dvid, request)
        except Refusal as refusal:
            text = refusal.message if refusal.bare else f"{refusal.message} ({request.path})."
            return Reply(f"{text}\n".encode() if text else b"", "text/plain; charset=utf-8", refusal.status)
        except Panic as panic:
            text = f"Panic detected on request: {panic} ({request.path}).\n"
            return Reply(text.encode(), "text/plain; charset=utf-8", 500)
        except Exception:  # noqa: BLE001 - a mistake of the double must be seen by the test, not by its client only
            dvid.crashes.append(f"{request.method} {request.path}\n{traceback.format_exc()}")
            return Reply(b"the double itself failed\n", "text/plain", 500)

    def _send(self, request: Request, reply: Reply, hooks: list[Hook]) -> None:
        whole = isinstance(reply.body, bytes)
        chunked = not whole or len(reply.body) > LONGEST_LENGTH_KNOWN  # type: ignore[arg-type]
        if whole:
            self._run(hooks, "after")
        self.send_response(reply.status)
        self.send_header("Content-Type", reply.content_type)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        if chunked:
            self.send_header("Transfer-Encoding", "chunked")
        else:
            self.send_header("Content-Length", str(len(reply.body)))  # type: ignore[arg-type]
        self.end_headers()
        if self.command == "HEAD":
            return
        if not chunked:
            self.wfile.write(reply.body)  # type: ignore[arg-type]
            return
        self._send_chunks([reply.body] if whole else reply.body, hooks)  # type: ignore[list-item,arg-type]
        if not whole:
            self._run(hooks, "after")
        request.ended = time.monotonic()
        self.wfile.write(b"0\r\n\r\n")

    def _send_chunks(self, parts: Iterable[bytes], hooks: list[Hook]) -> None:
        """Send parts as chunks.  An empty part, which would end the body, means: send what there is by now."""
        coming = iter(parts)
        for number in itertools.count():
            for hook in hooks:
                if hook.when == "midway" and hook.chunk == number:
                    self.wfile.flush()
                    hook.function()
            part = next(coming, None)
            if part is None:
                return
            if part:
                self.wfile.write(b"%x\r\n%b\r\n" % (len(part), part))
            else:
                self.wfile.flush()

    @staticmethod
    def _run(hooks: list[Hook], when: str) -> None:
        for hook in hooks:
            if hook.when == when:
                hook.function()

    def _flush_and_cut(self) -> None:
        with contextlib.suppress(OSError):
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_RDWR)
