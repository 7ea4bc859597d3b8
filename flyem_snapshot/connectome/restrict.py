"""Restrict a connectome to the connections inside a roi-set."""

from __future__ import annotations

from flyem_snapshot.engine import sql
from flyem_snapshot.tables.rois import COMBO, AssignedSet


def partners_inside(partners: str, roi_set: AssignedSet) -> str:
    """The partner rows whose PSD lies in some ROI of the set, in their order."""
    inside = roi_set.inside()
    condition = f"{COMBO} IN ({sql.literals(inside)})" if inside else "FALSE"
    return f"SELECT * FROM {partners} WHERE {condition}"


def points_referenced(points: str, partners: str) -> str:
    """The points that a partner row names, in no order.

    A T-bar outside the roi-set stays if one of its PSDs is inside.
    """
    return f"""
        SELECT * FROM {points}
        WHERE point_id IN (SELECT pre_id FROM {partners} UNION ALL SELECT post_id FROM {partners})
    """
