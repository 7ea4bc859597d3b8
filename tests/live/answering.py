"""An HTTP server that answers what a test wants."""

from __future__ import annotations

import contextlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from flyem_snapshot.live.server import NeuprintServer

TOKEN = "ey.abc.def"  # noqa: S105 - of nothing


@contextlib.contextmanager
def answering(*answers):
    """A server that gives these answers (status, headers, body) in turn, the last one ever after; what it was asked.

    An answer may be a function of path and JSON.
    """
    left, asked = list(answers), []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            sent = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            asked.append((self.path, self.headers.get("Authorization")))
            answer = left.pop(0) if len(left) > 1 else left[0]
            status, headers, body = answer(self.path, json.loads(sent or b"{}")) if callable(answer) else answer
            self.send_response(status)
            for key, value in headers.items():
                self.send_header(key, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST  # noqa: N815 - the base class looks for this name

        def log_message(self, *args):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        thread = threading.Thread(target=http.serve_forever, args=(0.01,))
        thread.start()
        with contextlib.closing(NeuprintServer(f"http://127.0.0.1:{http.server_address[1]}", TOKEN)) as server:
            yield server, asked
        http.shutdown()
        thread.join()


def ok(value):
    return 200, {}, json.dumps(value).encode()
