"""The input stage for roi-sets: settings and JSON files become definitions, before any point is read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flyem_snapshot.config.walk import settings
from flyem_snapshot.connectome.rois import definition_problems
from flyem_snapshot.errors import DataError, Problem
from flyem_snapshot.inputs.rois_settings import RoisSettings
from flyem_snapshot.stage import Context, Stage
from flyem_snapshot.tables.rois import RoiSets


def load_roi_sets(config: RoisSettings, ctx: Context) -> RoiSets:
    """The roi-sets in the settings' order, with the content of JSON files in place of their names."""
    return config.defined()


def check_roi_sets(config: RoisSettings, whole: Any) -> Sequence[Problem | DataError]:
    """Faulty JSON files, and what is certain to go wrong between the roi-sets of one table, whatever its rows."""
    try:
        defined = config.defined()
    except DataError as error:
        return [error]
    chosen = [s.value for s in settings(whole) if s.traits.one_of == "inputs.rois.roi-sets.*"]
    problems = [problem for names in chosen if isinstance(names, tuple) for problem in _together(defined, names)]
    return list(dict.fromkeys(problems))


def _together(defined: RoiSets, names: tuple[str, ...]) -> list[Problem]:
    found = definition_problems(defined.named(names))
    return [Problem(("roi-sets", *problem.path), problem.message, problem.hint) for problem in found]


STAGE = Stage("rois", "inputs", RoisSettings, load_roi_sets, produces=RoiSets, check=check_roi_sets)
