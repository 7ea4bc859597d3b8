"""Rules between settings of different sections.  Each yields all problems it finds, with full paths."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from flyem_snapshot.config.fallbacks import with_fallbacks
from flyem_snapshot.config.model import Section
from flyem_snapshot.config.paths import expanded, is_path
from flyem_snapshot.config.suggest import closest
from flyem_snapshot.config.walk import Setting, sections, settings, value_at
from flyem_snapshot.errors import Problem

ROI_SETS = "inputs.rois.roi-sets"
Rule = Callable[[Section], Iterator[Problem]]


def rule_problems(config: Section) -> list[Problem]:
    """Everything that is wrong within and between sections whose values have the right types."""
    problems = [
        Problem((*path, *problem.path), problem.message, problem.hint)
        for path, section in sections(config)
        for problem in section.problems()
    ]
    return problems + [problem for rule in RULES for problem in rule(config)]


def names_are_known(config: Section) -> Iterator[Problem]:
    """A setting that names entries of another section names existing ones, each once."""
    settled = with_fallbacks(config)
    for setting in settings(config):
        if not setting.traits.one_of or setting.value is None:
            continue
        known = value_at(settled, setting.traits.one_of) or ()
        if setting.is_default and (not known or _exports_nothing(setting.section)):
            continue
        several = isinstance(setting.value, tuple)
        for index, name in enumerate(setting.value if several else (setting.value,)):
            path = (*setting.path, index) if several else setting.path
            if name not in known:
                yield _unknown_name(setting, path, name, known)
            elif several and name in setting.value[:index]:
                yield Problem(path, f"'{name}' is listed twice")


def _exports_nothing(section: Section) -> bool:
    """Whether a flag such as `export-connectome` is off, so that its other settings may stay what they are."""
    return any(value is False for name, value in section if name.startswith("export_"))


def _unknown_name(setting: Setting, path: tuple[str | int, ...], name: str, known: tuple[str, ...]) -> Problem:
    where = setting.traits.one_of.removesuffix(".*")
    shown = f"'{name}'" if setting.written else f"'{name}' (the default)"
    if not known:
        return Problem(
            path, f"{shown} is unknown, because {where} defines nothing", "define it, or remove this setting"
        )
    similar = closest(name, known)
    hint = f"did you mean '{similar}'?" if similar else f"write one of: {', '.join(dict.fromkeys(known))}"
    return Problem(path, f"{shown} is not in {where}", hint)


def roi_sets_come_with_their_sources(config: Section) -> Iterator[Problem]:
    """Where ROI sets are chosen by name, the sets that a chosen one is made from are chosen, too."""
    defined: Mapping[str, Any] = value_at(config, ROI_SETS) or {}
    for setting in settings(config):
        if setting.traits.one_of != f"{ROI_SETS}.*" or not isinstance(setting.value, tuple):
            continue
        for index, name in enumerate(dict.fromkeys(setting.value)):
            for source in _sources(defined[name]) if name in defined else ():
                if source in defined and source not in setting.value:
                    message = f"'{name}' is made from '{source}', which is not listed"
                    yield Problem((*setting.path, index), message, f"add '{source}'")


def _sources(roi_set: Any) -> Iterator[str]:
    """The other ROI sets that one is made from."""
    if roi_set.source == "unions-of-subrois" and roi_set.union_source_roiset:
        yield roi_set.union_source_roiset
    if roi_set.parent_rois and roi_set.parent_roiset:
        yield roi_set.parent_roiset


def paths_can_be_expanded(config: Section) -> Iterator[Problem]:
    """Every path uses only variables that are set."""
    syndir = value_at(config, "inputs.synapses.syndir")
    for setting in settings(config):
        if is_path(setting):
            try:
                expanded(str(setting.value), Path(), syndir, os.environ)
            except ValueError as error:
                hint = "set it before you start the job, or write the path itself" if "variable" in str(error) else ""
                yield Problem(setting.path, str(error), hint)


def tag_can_be_known(config: Section) -> Iterator[Problem]:
    """A snapshot has a tag: given, or made from the version of a live segmentation or of a datastack."""
    servers = ("inputs.dvid-seg.server", "inputs.cave.datastack")
    job = value_at(config, "job-settings")  # a section alone has none
    if job is not None and job.snapshot_tag is None and not any(value_at(config, s) for s in servers):
        hint = "name this snapshot, for example 'snapshot-tag: v1.0'"
        yield Problem(("job-settings", "snapshot-tag"), "is required, but not set", hint)


def synapses_come_from_one_place(config: Section) -> Iterator[Problem]:
    """Both synapse tables are given, or neither and a datastack is."""
    synapses = value_at(config, "inputs.synapses")
    if synapses is None or "synapse_points" not in type(synapses).model_fields:
        return
    from_cave = bool(value_at(config, "inputs.cave.enabled"))
    for name in ("synapse_points", "synapse_partners"):
        path, field = ("inputs", "synapses", synapses.key_of(name)), type(synapses).model_fields[name]
        given = getattr(synapses, name) is not None
        if given and from_cave:
            yield Problem(path, "is set, but the synapses are those of inputs.cave", "remove one of the two")
        elif not given and not from_cave:
            how = "empty" if name in synapses.model_fields_set else "missing"
            yield Problem(path, f"is required, but {how}", (field.description or "").partition(". ")[0])


def datastack_stands_alone(config: Section) -> Iterator[Problem]:
    """What a datastack gives is not given by another source as well."""
    others = {
        "enabled": ("dvid-seg.server", "is set, but the bodies are those of inputs.cave"),
        "annotations-given": ("annotations.body-annotations-table", "is set, but bodies are annotated by inputs.cave"),
        "gives-transmitters": ("neurotransmitters.synister-feather", "is set, but inputs.cave has transmitters"),
    }
    for what, (address, message) in others.items():
        if value_at(config, f"inputs.cave.{what}") and value_at(config, f"inputs.{address}") is not None:
            yield Problem(("inputs", *address.split(".")), message, "remove one of the two")


RULES: tuple[Rule, ...] = (
    synapses_come_from_one_place,
    datastack_stands_alone,
    tag_can_be_known,
    names_are_known,
    roi_sets_come_with_their_sources,
    paths_can_be_expanded,
)
