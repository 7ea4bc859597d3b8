"""The info service (2.4): what datastacks there are, and where their data is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.cave_double.accounts import User
from tests.cave_double.datastacks import AlignedVolume, Datastack
from tests.cave_double.replies import Refusal, Reply, Request, json_reply

if TYPE_CHECKING:
    from tests.cave_double.server import CaveDouble


def info_call(cave: CaveDouble, user: User, request: Request, rest: list[str]) -> Reply:
    """`/info/api/v2/...`."""
    match request.method, rest:
        case "GET", ["datastacks"]:
            return json_reply([name for name in cave.datastacks if user.may("view", name)])
        case "GET", ["datastack", "full", name]:
            cave.accounts.check(request, name)
            return json_reply(record(cave, known(cave.datastacks, name)))
        case "GET", ["datastack", name, "image_sources"]:
            return json_reply({"default": known(cave.datastacks, name).volume.image_source})
        case "GET", ["aligned_volume"]:
            return json_reply(list(cave.volumes))
        case "GET", ["aligned_volume", "id", number]:
            by_number = {str(volume.number): volume for volume in cave.volumes.values()}
            return json_reply(known(by_number, number).described())
        case "GET", ["aligned_volume", name]:
            return json_reply(known(cave.volumes, name).described())
        case "GET", ["aligned_volume", name, "datastacks"]:
            volume: AlignedVolume = known(cave.volumes, name)
            return json_reply([stack.name for stack in cave.datastacks.values() if stack.volume is volume])
    raise not_found()


def not_found() -> Refusal:
    """What is not there."""
    message = "The requested URL was not found on the server. If you entered the URL manually please check it."
    return Refusal(json_reply({"message": message}, 404))


def known(things: dict[str, Any], name: str) -> Any:
    """One of the things that are there."""
    if name not in things:
        raise not_found()
    return things[name]


def record(cave: CaveDouble, stack: Datastack) -> dict[str, Any]:
    """The record of a datastack, with all the keys of today."""
    local = stack.record.get("local_server", cave.url)
    graph = f"graphene://{local}/segmentation/table/{stack.graph.name}"
    return {
        "aligned_volume": stack.volume.described(),
        "segmentation_source": graph,
        "skeleton_source": None,
        "analysis_database": None,
        "viewer_site": "https://viewer.example.org",
        "synapse_table": None,
        "soma_table": None,
        "local_server": local,
        "description": f"the datastack {stack.name}",
        **{f"viewer_resolution_{axis}": size for axis, size in zip("xyz", (4.0, 4.0, 40.0), strict=True)},
        "proofreading_status_table": None,
        "cell_identification_table": None,
        "proofreading_review_table": None,
        **stack.record,
    }
