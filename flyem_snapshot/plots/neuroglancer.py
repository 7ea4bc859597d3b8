"""The address at which neuroglancer shows one body."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

if TYPE_CHECKING:
    from flyem_snapshot.connectome.report_tables import Links

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class BodyLinks:
    """The pieces of an address between which a body's id stands.

    They are put together as text, here and in the pages: an id above 2^53 would not survive as a number in a browser.
    """

    pieces: tuple[str, ...]

    def address(self, body: int) -> str:
        """Where this body is shown."""
        return str(body).join(self.pieces)


def body_links(links: Links | None) -> BodyLinks | None:
    """How bodies are shown in this neuroglancer state; None, with a warning, if it has no segmentation layer.

    The state's selected segmentation layer, or its first one, is given the body as its only segment and as its query.
    """
    if links is None:
        return None
    state = json.loads(json.dumps(links.state))  # a copy to be changed
    layer = _segmentation_layer(state)
    if layer is None:
        logger.warning("no links in the plots: the neuroglancer state has no segmentation layer")
        return None
    host = links.host.rstrip("/")
    # A word that occurs nowhere else in the address marks where the body goes.
    mark = "BODY"
    while mark in host + json.dumps(state, ensure_ascii=False):
        mark += "Y"
    layer["segments"] = [mark]
    layer["segmentQuery"] = mark
    encoded = quote(json.dumps(state, ensure_ascii=False, separators=(",", ":")), safe="!~*'()")
    return BodyLinks(tuple(f"{host}/#!{encoded}".split(mark)))


def _segmentation_layer(state: Mapping[str, Any]) -> dict[str, Any] | None:
    """The selected layer if it is a segmentation, else the first one that is; a part of `state`, not a copy.

    Old states hold their layers by name, later ones in a list.
    """
    layers = state.get("layers")
    named: list[tuple[Any, Any]] = []
    if isinstance(layers, dict):
        named = list(layers.items())
    elif isinstance(layers, list):
        named = [(layer.get("name"), layer) for layer in layers if isinstance(layer, dict)]
    segmentations = [(name, layer) for name, layer in named if _is_segmentation(layer)]
    selected = state.get("selectedLayer")
    wanted = selected.get("layer") if isinstance(selected, dict) else None
    chosen = [layer for name, layer in segmentations if name == wanted] or [layer for _, layer in segmentations]
    return chosen[0] if chosen else None


def _is_segmentation(layer: Any) -> bool:
    return isinstance(layer, dict) and layer.get("type") == "segmentation"
