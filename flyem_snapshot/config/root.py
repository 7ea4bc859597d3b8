"""The configuration as a whole, composed from the sections of the stages."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

from pydantic import Field, create_model

from flyem_snapshot.config.job import JobSettings
from flyem_snapshot.config.model import ListedSection, Section, kebab, setting


class Config(Section):
    """Configuration of flyem-snapshot: what goes in, what comes out, and how the job is run."""

    inputs: Section = Field(default_factory=Section)
    outputs: Section = Field(default_factory=Section)
    job_settings: JobSettings = Field(default_factory=JobSettings)

    def stage(self, room: str, name: str) -> Any:
        """The settings of one stage, by the keys of the file: `stage("outputs", "flat-connectome")`."""
        return getattr(getattr(self, room), name.replace("-", "_"))


ROOM_DESCRIPTIONS = {
    "inputs": "What the snapshot is made from.",
    "outputs": "What is made from it.",
}


def config_model(stages: Iterable[tuple[str, str, type[Section]]]) -> type[Config]:
    """The model of the whole configuration, from (room, key, section) triples such as ("inputs", "rois", RoisSettings).

    A section whose settings all have defaults may be left out of the file, as may a list of sections; one with a
    required setting may not.
    """
    rooms: dict[str, dict[str, type[Section]]] = {room: {} for room in ROOM_DESCRIPTIONS}
    for room, key, section in stages:
        rooms[room][key] = section
    models = {room: _composed(room.title(), sections, ROOM_DESCRIPTIONS[room]) for room, sections in rooms.items()}
    fields: dict[str, type[Section]] = {**models, "job_settings": JobSettings}
    definitions: Any = {name: _field(model) for name, model in fields.items()}
    return cast("type[Config]", create_model("Config", __base__=Config, __doc__=Config.__doc__, **definitions))


def _composed(name: str, sections: dict[str, type[Section]], doc: str) -> type[Section]:
    definitions: Any = {key.replace("-", "_"): _field(section) for key, section in sections.items()}
    assert all(kebab(field) == key for field, key in zip(definitions, sections, strict=True))
    return create_model(name, __base__=Section, __doc__=doc, **definitions)


def _field(section: type[Section]) -> tuple[Any, Any]:
    """The field of a section: optional if it is a list, or if every setting of the section is."""
    if issubclass(section, ListedSection):
        return tuple[section, ...], setting((), doc=section.list_doc, examples=(section.list_example,))  # type: ignore[valid-type]
    if any(field.is_required() for field in section.model_fields.values()):
        return section, Field()
    return section, Field(default_factory=section)
