"""The service that keeps Neuroglancer states (2.9): whoever loses an id has lost the state."""

from __future__ import annotations

import zlib

from tests.cave_double.replies import Reply, Request, json_reply, plain

FIRST_ID = 5762925562167296
LARGEST = 50 << 20
"""Bytes that a compressed state may have."""

OPAQUE = "<!doctype html>\n<title>500 Internal Server Error</title>\n<h1>Internal Server Error</h1>\n"


class States:
    """States by id; an id has 16 digits."""

    def __init__(self) -> None:
        self.texts: dict[int, bytes] = {}
        self.largest = LARGEST

    def add(self, text: bytes) -> int:
        """Keep a state; gives back its id."""
        number = FIRST_ID + 6_700_417 * len(self.texts)
        self.texts[number] = text
        return number


def state_call(states: States, base: str, request: Request, rest: list[str], *, admin: bool = False) -> Reply:
    """`/nglstate/api/v1/...`; its error handlers fail themselves, so that every refusal is an opaque 500."""
    match request.method, rest:
        case "GET", ["version"]:
            return json_reply("0.7.2")
        case "GET", [number] | ["raw", number] if number.isdigit() and int(number) in states.texts:
            text = states.texts[int(number)]
            if "gzip" in request.headers.get("accept-encoding", "") and rest[0] != "raw":
                return Reply(zlib.compress(text), "application/json", 200, {"Content-Encoding": "deflate"})
            return Reply(text, "application/json")
        case "POST", ["post"]:
            if len(zlib.compress(request.body)) < states.largest:
                return json_reply(f"{base}/nglstate/api/v1/{states.add(request.body)}")
        case "POST", ["post", number] if admin and number.isdigit():
            states.texts[int(number)] = request.body
            return json_reply(f"{base}/nglstate/api/v1/{number}")
    return plain(OPAQUE, 500)
