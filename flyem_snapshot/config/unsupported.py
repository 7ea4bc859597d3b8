"""Settings of existing files that this version does not know how to obey.

They are refused by name rather than ignored.  When a stage learns one of them, its line here goes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from flyem_snapshot.config.document import KeyPath
from flyem_snapshot.errors import Problem


@dataclass(frozen=True)
class Unsupported:
    """A known setting without an implementation.

    `what` completes "this version of flyem-snapshot has no ...".  A setting whose value switches it off (empty,
    or `off`) is accepted and left out; a `stage` is refused whatever it says.
    """

    pattern: str
    what: str
    stage: bool = False
    off: Any = None

    def matches(self, path: KeyPath) -> bool:
        """Whether the pattern names this path; `*` stands for any one key."""
        keys = self.pattern.split(".")
        return len(keys) == len(path) and all(key in {"*", part} for key, part in zip(keys, path, strict=True))

    def is_off(self, value: Any) -> bool:
        """Whether the value asks for nothing."""
        return not self.stage and (_is_empty(value) or (self.off is not None and value == self.off))


UNSUPPORTED = (
    Unsupported("inputs.dvid-seg", "DVID segmentation input", stage=True),
    Unsupported("inputs.rois.dvid", "support for ROIs from DVID"),
    Unsupported("inputs.rois.roi-sets.*.labelmap", "support for ROIs from DVID"),
    Unsupported("inputs.elements.*.dvid-point-annotations", "support for elements from DVID"),
    Unsupported("inputs.annotations.point-annotations", "support for point annotations from DVID"),
    Unsupported("inputs.body-sizes.cache-uuid", "support for body sizes from DVID"),
    Unsupported("outputs.neurotransmitters.dvid", "backport of neurotransmitters to DVID"),
    Unsupported("outputs.skeletons", "skeleton export", stage=True),
    Unsupported("outputs.meshes", "mesh export", stage=True),
    Unsupported("job-settings.dvid-timeout", "connection to DVID servers", off=300.0),
)


def without_unsupported(content: Mapping[str, Any]) -> tuple[dict[str, Any], list[Problem]]:
    """The content of a document without the settings that are not supported, and a problem for each that matters."""
    problems: list[Problem] = []
    kept = dict(_kept(content, (), problems))
    return kept, problems


def _kept(content: Mapping[str, Any], path: KeyPath, problems: list[Problem]) -> Iterator[tuple[str, Any]]:
    for key, value in content.items():
        here = (*path, key)
        entry = next((entry for entry in UNSUPPORTED if entry.matches(here)), None)
        if entry is None:
            yield key, dict(_kept(value, here, problems)) if isinstance(value, Mapping) else value
        elif not entry.is_off(value):
            kind = "section" if entry.stage or isinstance(value, Mapping) else "setting"
            problems.append(Problem(here, f"this version of flyem-snapshot has no {entry.what}; remove the {kind}"))


def _is_empty(value: Any) -> bool:
    """Whether a value asks for nothing, however deep one looks."""
    if isinstance(value, Mapping):
        return all(_is_empty(entry) for entry in value.values())
    return value is False or value in (None, "", [])
