"""Values for settings that are not set, as the settings themselves declare (`inherits`)."""

from __future__ import annotations

from functools import partial
from typing import Any, TypeVar

from flyem_snapshot.config.model import Section, is_optional
from flyem_snapshot.config.walk import Setting, rebuilt, value_at

S = TypeVar("S", bound=Section)


def with_fallbacks(config: S) -> S:
    """A copy in which every unset setting has the value that it inherits, if that is set.

    A default that names an entry of a list (`one_of`) becomes unset if that list is empty: there is no ROI set
    `primary` where there are no ROI sets at all, even if a template has written it out.
    """
    while (further := rebuilt(config, partial(_settled, config))) != config:  # one may inherit from one that inherits
        config = further
    return config


def _settled(root: Section, setting: Setting) -> Any:
    traits = setting.traits
    if setting.value is None and traits.inherits:
        sibling = "." not in traits.inherits
        return value_at(setting.section if sibling else root, traits.inherits)
    field = type(setting.section).model_fields[setting.name]
    if traits.one_of and setting.is_default and is_optional(field) and value_at(root, traits.one_of) == ():
        return None
    return setting.value
