"""Addresses of volumes as Neuroglancer and cloud-volume write them."""

from __future__ import annotations

import re
from typing import Final

FORMATS: Final = ("raw", "neuroglancer", "cloudvolume")

_KINDS: Final = re.compile(r"^(precomputed|graphene|zarr2?|zarr3|n5|nggraph|boss|brainmaps|dvid)://", re.IGNORECASE)
_GOOGLE: Final = "https://storage.googleapis.com/"
_BUCKET_HOST: Final = re.compile(r"^https://([a-z0-9][a-z0-9._-]*)\.storage\.googleapis\.com(?=/|$)")
_GRAPH: Final = re.compile(r"^(middleauth\+)?https?://[^/]+/segmentation/(table|api/v\d+/table)/")


def formatted(path: str | None, format_for: str) -> str | None:
    """A path as a program writes it: `raw` (unchanged), `neuroglancer` or `cloudvolume`.

        given                                       neuroglancer            cloudvolume
        gs://b/p, https://storage.googleapis.com/b/p,
        or either after precomputed://              precomputed://gs://b/p  precomputed://https://storage.googleapis.com/b/p
        https://host/p, s3://b/p                    precomputed://, then the same
        https://host/segmentation/table/t           graphene://, then the same
        graphene://...                              unchanged

    None and an empty path, "there is none", are None.
    """
    if format_for not in FORMATS:
        raise ValueError(f"format_for is one of {', '.join(FORMATS)}, not {format_for!r}")
    if not path:
        return None
    if format_for == "raw":
        return path
    kind, place = _split(path)
    if kind == "graphene":
        return f"graphene://{place}"
    return f"{kind}://{_at_google(place) if format_for == 'neuroglancer' else _by_https(place)}"


def graph_table(path: str) -> str:
    """The name of a chunked graph's table, the last part of its path; ValueError if the path is none of a graph."""
    kind, place = _split(path)
    name = place.rstrip("/").rpartition("/")[2]
    if kind != "graphene" or not name:
        raise ValueError(f"{path!r} is not the address of a chunked graph")
    return name


def _split(path: str) -> tuple[str, str]:
    """(`precomputed`, the address of the place) and so on; a path that names no kind is that of a volume or a graph."""
    if match := _KINDS.match(path):
        return match[1].lower(), path[match.end() :]
    return ("graphene" if _GRAPH.match(path) else "precomputed"), path


def _at_google(place: str) -> str:
    if place.startswith(_GOOGLE):
        return f"gs://{place.removeprefix(_GOOGLE)}"
    return _BUCKET_HOST.sub(r"gs://\1", place)


def _by_https(place: str) -> str:
    return f"{_GOOGLE}{place.removeprefix('gs://')}" if place.startswith("gs://") else place
