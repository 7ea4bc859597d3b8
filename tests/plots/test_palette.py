"""Statuses are told apart by colour, also by those who see fewer colours."""

import re
from itertools import pairwise

import numpy as np
import pytest

from flyem_snapshot.connectome.status import STATUS_ORDER
from flyem_snapshot.plots.palette import STATUS_SHADES, luminance, shades, shown

COMMON = [
    *("Traced", "Roughly traced", "RT Orphan", "RT Hard to trace", "Prelim Roughly traced", "PRT Orphan", "Leaves"),
    *("Primary Anchor", "Soma Anchor", "Cervical Anchor", "Sensory Anchor", "Anchor", "0.5assign", "", "Orphan"),
]

# What is left of linear RGB without one kind of cone (Machado, Oliveira and Fernandes, 2009, severity 1).
SEEN_BY = {
    "everybody": [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
    "protanopes": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopes": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
    "tritanopes": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.3039]],
}
TO_CONES = [
    [0.41222147, 0.53633254, 0.05144599],
    [0.21190350, 0.68069955, 0.10739696],
    [0.08830246, 0.28171884, 0.62997870],
]
TO_OKLAB = [
    [0.21045426, 0.79361779, -0.00407205],
    [1.97799850, -2.42859221, 0.45059371],
    [0.02590404, 0.78277177, -0.80867577],
]


def oklab(colour, seen):
    """A colour as someone sees it, in a space where distances are differences to the eye."""
    rgb = np.array([int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)])
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return np.array(TO_OKLAB) @ np.cbrt(np.array(TO_CONES) @ np.clip(np.array(seen) @ linear, 0, 1))


def difference(one, other, seen):
    return float(np.linalg.norm(oklab(shades(one).strong, seen) - oklab(shades(other).strong, seen)))


def test_every_status_has_two_shades_and_the_pale_one_is_brighter():
    assert set(STATUS_SHADES) == set(STATUS_ORDER)
    for both in STATUS_SHADES.values():
        assert re.fullmatch("#[0-9a-f]{6}", both.strong)
        assert re.fullmatch("#[0-9a-f]{6}", both.pale)
        assert luminance(both.pale) > luminance(both.strong)


def test_no_line_is_too_bright_for_paper():
    assert max(luminance(both.pale) for both in STATUS_SHADES.values()) < 0.72


def test_the_empty_status_is_grey_and_has_words():
    red, green, blue = (shades("").strong[start : start + 2] for start in (1, 3, 5))

    assert red == green == blue
    assert shown("") == "no status"
    assert shown("Traced") == "Traced"


@pytest.mark.parametrize("seen", SEEN_BY.values(), ids=SEEN_BY)
def test_neighbours_in_a_stack_stay_apart(seen):
    best_first = STATUS_ORDER[::-1]
    common = [status for status in best_first if status in COMMON]

    assert min(difference(one, other, seen) for one, other in pairwise(best_first)) > 0.09
    assert min(difference(one, other, seen) for one, other in pairwise(common)) > 0.1


@pytest.mark.parametrize("seen", SEEN_BY.values(), ids=SEEN_BY)
def test_no_two_common_statuses_look_the_same(seen):
    pairs = [(one, other) for one in COMMON for other in COMMON if one < other]

    assert min(difference(one, other, seen) for one, other in pairs) > 0.06


def test_a_label_outside_the_vocabulary_always_has_the_same_colour():
    assert shades("Mystery") == shades("Mystery")
    assert shades("Mystery").strong not in {both.strong for both in STATUS_SHADES.values()}
