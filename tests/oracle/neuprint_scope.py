"""What of the inputs goes into neuPrint: settings with their defaults, and the restrictions in their order."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from tests.oracle.config import Config
from tests.oracle.load import Inputs
from tests.oracle.neuprint_meta import load_meta
from tests.oracle.neurotransmitters import Transmitters, neurotransmitters_of
from tests.oracle.rois import UNSPECIFIED, Ids


@dataclass(frozen=True)
class ElementTable:
    """Points of one configured element and the distances that belong to it."""

    points: pd.DataFrame
    distances: pd.DataFrame | None
    sets: list[str]


@dataclass(frozen=True)
class Scope:
    """Tables after the restrictions so far; `inbounds` are the bodies that may be Segments, None for all.

    What is predicted of transmitters knows no restriction of the export.
    """

    config: Config
    meta: dict[str, Any]
    points: pd.DataFrame
    partners: pd.DataFrame
    elements: dict[str, ElementTable]
    sets: list[str]
    roi_ids: dict[str, Ids]
    inbounds: set[int] | None = None
    inbounds_rois: frozenset[str] = frozenset()
    transmitters: Transmitters | None = None

    def setting(self, dotted: str, default: Any) -> Any:
        """A setting of outputs.neuprint."""
        return self.config.get(f"outputs.neuprint.{dotted}", default)

    @property
    def compartment_column(self) -> str:
        """The point column with compartments, or ''."""
        inherited = self.config.get("inputs.synapses.compartment-column", "")
        return self.setting("compartment-column", "") or inherited

    @property
    def threshold(self) -> np.float32:
        """Confidence of a PSD from which its connection has weight."""
        return np.float32(self.meta.get("postHighAccuracyThreshold", 0.0))

    @property
    def high_threshold(self) -> np.float32:
        """The same for the weight of high precision."""
        return np.float32(self.meta.get("postHPThreshold", 0.0))

    def label(self, *kinds: str) -> str:
        """`Synapse;ds_Synapse;...`."""
        dataset = self.meta["dataset"]
        return ";".join(f"{kind};{dataset}_{kind}" for kind in kinds)

    def ids(self) -> set[int]:
        """Ids of all synapses and elements."""
        return set(self.points["point_id"]).union(*(e.points["point_id"] for e in self.elements.values()))


def first_scope(inputs: Inputs) -> Scope:
    """Body 0, restrict-info-totals-to-roiset and the first stage of restrict-connectivity-to-roiset."""
    config = inputs.config
    known = config.get("inputs.synapses.roi-set-names", list(config.roi_sets))
    sets = config.get("outputs.neuprint.roi-set-names", known)
    elements = {
        name: ElementTable(e.points, e.distances, [s for s in sets if s in e.roi_ids])
        for name, e in inputs.elements.items()
    }
    meta = load_meta(config, inputs.roi_ids)
    partners = inputs.partners[(inputs.partners["body_pre"] != 0) & (inputs.partners["body_post"] != 0)]
    points = inputs.points[inputs.points["body"] != 0]
    transmitters = neurotransmitters_of(inputs)
    scope = Scope(config, meta, points, partners, elements, list(sets), inputs.roi_ids, transmitters=transmitters)
    whole = scope.setting("restrict-info-totals-to-roiset", "")
    if whole:
        scope = replace(keep_partners(scope, partners[whole] != UNSPECIFIED), elements=inside(elements, whole))
    connections = scope.setting("restrict-connectivity-to-roiset", "")
    if connections:
        rows = scope.partners[scope.partners[connections] != UNSPECIFIED]
        bodies = set(rows["body_pre"]) | set(rows["body_post"])
        touched = scope.partners["body_pre"].isin(bodies) | scope.partners["body_post"].isin(bodies)
        rois = frozenset(rows[connections].astype(object))
        scope = replace(keep_partners(scope, touched), inbounds=bodies, inbounds_rois=rois)
    return scope


def second_scope(scope: Scope) -> Scope:
    """For everything but Segments and Meta: the second stage, and restrict-elements-to-roiset."""
    connections = scope.setting("restrict-connectivity-to-roiset", "")
    if connections:
        scope = keep_partners(scope, scope.partners[connections] != UNSPECIFIED)
    elements = scope.setting("restrict-elements-to-roiset", "")
    return replace(scope, elements=inside(scope.elements, elements)) if elements else scope


def keep_partners(scope: Scope, rows: pd.Series) -> Scope:
    """Some partner rows, and the points that they name."""
    partners = scope.partners[rows]
    ids = scope.points["point_id"]
    used = ids.isin(partners["pre_id"]) | ids.isin(partners["post_id"])
    return replace(scope, points=scope.points[used], partners=partners)


def inside(elements: dict[str, ElementTable], roi_set: str) -> dict[str, ElementTable]:
    """Elements with a ROI in the set."""
    return {name: replace(e, points=e.points[e.points[roi_set] != UNSPECIFIED]) for name, e in elements.items()}
