"""The neuroglancer state that clicks on a plot open: from a file, or from somewhere on the network."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from flyem_snapshot.connectome.report_tables import Links

logger = logging.getLogger(__name__)

_SECONDS = 20
_MAX_BYTES = 50_000_000


def links_to(state: Path | str | None, host: str) -> Links | None:
    """What clicks lead to.  None, with a warning, if the state cannot be read: plots are worth having without links."""
    if state is None:
        return None
    try:
        return Links(_object(_content(state)), host)
    except ImportError as error:
        why = f"it needs a library that is not installed ({error}); install flyem-snapshot[gcs], [s3] or [objects]"
    except Exception as error:  # noqa: BLE001 - what HTTP and object store libraries raise is not known
        why = f"{error}" or type(error).__name__
    # What follows `?` may be a key that grants access.
    shown, _, key = (str(state), "", "") if isinstance(state, Path) else state.partition("?")
    why = why.replace(key, "...") if key else why
    logger.warning("no links in the plots: neuroglancer-base-state %s cannot be read: %s", shown, why)
    return None


def _content(state: Path | str) -> bytes:
    if isinstance(state, Path):
        return state.read_bytes()
    if state.startswith(("http://", "https://")):
        request = Request(state, headers={"Accept": "application/json"})  # noqa: S310 - the scheme is checked
        with urlopen(request, timeout=_SECONDS) as reply:  # noqa: S310 - as above
            content: bytes = reply.read(_MAX_BYTES)
        return content
    import fsspec  # noqa: PLC0415 - an optional extra

    with fsspec.open(state, "rb") as file:
        stored: bytes = file.read(_MAX_BYTES)
    return stored


def _object(content: bytes) -> Mapping[str, Any]:
    state = json.loads(content.decode("utf-8-sig"))
    if not isinstance(state, dict):
        raise TypeError("it is JSON, but no object")
    return state
