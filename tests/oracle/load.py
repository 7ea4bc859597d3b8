"""Everything that is read before the first output: synapses, ROI sets, elements, annotations, body sizes."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from tests.oracle.annotations import load_annotations
from tests.oracle.config import Config, read_config
from tests.oracle.ids import decode, with_ids_and_coordinates
from tests.oracle.rois import Ids, add_rois
from tests.oracle.tables import read

UNKNOWN = "unknown"
ZONE_BORDER_Z = 45056


@dataclass
class Excluded:
    """How many rows went, each row counted once under the first rule that took it.

    Points: fake, zone, confidence, body_0, orphan.  Partners: fake, zone, confidence, body_0, missing_point.
    A partner row that names a point which is not there counts as missing_point, not as a failed confidence.
    """

    points: dict[str, int] = field(default_factory=dict)
    partners: dict[str, int] = field(default_factory=dict)


@dataclass
class Elements:
    """One kind of generic point with its ROI columns, and the distances that start or end there."""

    points: pd.DataFrame
    distances: pd.DataFrame | None
    roi_ids: dict[str, Ids]


@dataclass
class Inputs:
    """Tables in input order: `points` has a column point_id, `partners` one column per ROI set."""

    config: Config
    points: pd.DataFrame
    partners: pd.DataFrame
    roi_ids: dict[str, Ids]
    elements: dict[str, Elements]
    annotations: pd.DataFrame | None
    body_sizes: pd.DataFrame | None
    excluded: Excluded


def load(config_path: Path) -> Inputs:
    """All inputs of a run without DVID."""
    config = read_config(config_path)
    points, partners, roi_ids, excluded = load_synapses(config)
    elements = {name: load_elements(config, name) for name in config.get("inputs.elements", {}) if name != "processes"}
    _refuse_shared_ids([points["point_id"], *(e.points["point_id"] for e in elements.values())])
    return Inputs(
        config, points, partners, roi_ids, elements, load_annotations(config), load_body_sizes(config), excluded
    )


def load_synapses(config: Config) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, Ids], Excluded]:
    """Points and partners, cleaned in the documented order of steps."""
    excluded = Excluded()
    points = _read_points(config)
    partners = read(config.path(config.get("inputs.synapses.synapse-partners", "")))
    partners = partners.astype({"pre_id": "uint64", "post_id": "uint64"})
    points, partners = _drop_fakes(points, partners, excluded)
    if config.compartment_column:
        points[config.compartment_column] = _known(points[config.compartment_column])
    points, partners = _keep_zone(points, partners, config.get("inputs.synapses.zone", ""), excluded)
    points, partners = _keep_confident(points, partners, config.min_confidence, excluded)
    points, partners = _look_up_bodies(points, partners)
    if not config.get("inputs.synapses.permit-body-0", False):
        points, partners = _drop_body_0(points, partners, excluded)
    points, partners = _keep_consistent(points, partners, excluded)
    order = config.get("inputs.synapses.roi-set-names", list(config.roi_sets))
    points, roi_ids = add_rois(points, config, order)
    return points, _final_partners(points, partners, order, config), roi_ids, excluded


def _read_points(config: Config) -> pd.DataFrame:
    """Ids, coordinates, kind, conf float32, body and sv int64; three columns are never kept."""
    table = read(config.path(config.get("inputs.synapses.synapse-points", "")))
    table = table.drop(columns=["roi_label", "user", "tbar_region"], errors="ignore")
    table = with_ids_and_coordinates(table)
    return table.astype({"conf": "float32"} | {c: "int64" for c in ("body", "sv") if c in table})


def _drop_fakes(points: pd.DataFrame, partners: pd.DataFrame, excluded: Excluded) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Points of kind Fake go, and - only if there was one - partner rows with id 0; the rest is PreSyn or PostSyn."""
    kinds = points["kind"].astype(object)
    fake = kinds == "Fake"
    fake_rows = ((partners["pre_id"] == 0) | (partners["post_id"] == 0)) & bool(fake.any())
    if not kinds[~fake].isin(["PreSyn", "PostSyn"]).all():
        raise ValueError("kind must be PreSyn or PostSyn")
    points = points.assign(kind=kinds.astype("category"))
    return _drop(points, fake, excluded.points, "fake"), _drop(partners, fake_rows, excluded.partners, "fake")


def _drop(table: pd.DataFrame, rows: pd.Series, counts: dict[str, int], reason: str) -> pd.DataFrame:
    """Count and remove."""
    counts[reason] = int(rows.sum())
    return table[~rows].reset_index(drop=True)


def _known(compartments: pd.Series) -> pd.Series:
    """A null compartment is `unknown`."""
    return compartments.astype(object).fillna(UNKNOWN).astype("category")


def _keep_zone(
    points: pd.DataFrame, partners: pd.DataFrame, zone: str, excluded: Excluded
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The brain is z < 45056, the vnc the rest; a partner row needs both ends in the zone."""

    def outside(z: np.ndarray) -> np.ndarray:
        if not zone:
            return np.zeros(len(z), bool)
        return z >= ZONE_BORDER_Z if zone == "brain" else z < ZONE_BORDER_Z

    lost = pd.Series(outside(points["z"].to_numpy()), dtype=bool)
    ends = [outside(decode(partners[side])["z"]) for side in ("pre_id", "post_id")]
    lost_rows = pd.Series(ends[0] | ends[1], dtype=bool)
    return _drop(points, lost, excluded.points, "zone"), _drop(partners, lost_rows, excluded.partners, "zone")


def _positions(points: pd.DataFrame, ids: pd.Series) -> np.ndarray:
    """Row number of each id in the points, -1 where there is none; ids of points are unique."""
    index = pd.Index(points["point_id"].to_numpy("uint64"))
    if not index.is_unique:
        raise ValueError("duplicate point ids")
    return index.get_indexer(pd.Index(ids.to_numpy("uint64")))


def _keep_confident(
    points: pd.DataFrame, partners: pd.DataFrame, threshold: float, excluded: Excluded
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """A threshold other than 0 is asked of points and of both ends of a row, in float32; NaN fails.

    conf_pre and conf_post are taken from the points unless the partners bring their own.
    """
    partners = partners.copy()
    low = pd.Series(False, index=partners.index)
    missing = pd.Series(False, index=partners.index)
    for side in ("pre", "post"):
        if f"conf_{side}" not in partners:
            at = _positions(points, partners[f"{side}_id"])
            partners[f"conf_{side}"] = np.append(points["conf"], np.float32(np.nan))[at]
            unknown = pd.Series(at == -1, index=partners.index)
        else:
            unknown = pd.Series(False, index=partners.index)
        partners[f"conf_{side}"] = partners[f"conf_{side}"].astype("float32")
        if threshold != 0:
            low |= ~(partners[f"conf_{side}"] >= np.float32(threshold)) & ~unknown
            missing |= unknown
    low_points = ~(points["conf"] >= np.float32(threshold)) & (threshold != 0)
    partners = partners.assign(gone=missing & ~low)
    partners = _drop(partners, low, excluded.partners, "confidence")
    partners = _drop(partners, partners["gone"], excluded.partners, "missing_point").drop(columns="gone")
    return _drop(points, low_points, excluded.points, "confidence"), partners


def _look_up_bodies(points: pd.DataFrame, partners: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """body_pre and body_post come from the points, whatever the file says; -1 stands for no such point."""
    bodies = np.append(points["body"], np.int64(-1))
    ends = {f"body_{side}": bodies[_positions(points, partners[f"{side}_id"])] for side in ("pre", "post")}
    return points, partners.assign(**ends)


def _drop_body_0(points: pd.DataFrame, partners: pd.DataFrame, excluded: Excluded) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Points on body 0, and rows with either end there."""
    rows = (partners["body_pre"] == 0) | (partners["body_post"] == 0)
    return (
        _drop(points, points["body"] == 0, excluded.points, "body_0"),
        _drop(partners, rows, excluded.partners, "body_0"),
    )


def _keep_consistent(
    points: pd.DataFrame, partners: pd.DataFrame, excluded: Excluded
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """One pass: rows whose two ids are points, then points that such a row names; a PSD has one T-bar."""
    known = [_positions(points, partners[side]) >= 0 for side in ("pre_id", "post_id")]
    before = excluded.partners.pop("missing_point")
    partners = _drop(partners, pd.Series(~(known[0] & known[1]), dtype=bool), excluded.partners, "missing_point")
    excluded.partners["missing_point"] += before
    used = points["point_id"].isin(partners["pre_id"]) | points["point_id"].isin(partners["post_id"])
    if not partners["post_id"].is_unique:
        raise ValueError("a PSD is in more than one partner row")
    return _drop(points, ~used, excluded.points, "orphan"), partners


def _final_partners(points: pd.DataFrame, partners: pd.DataFrame, order: list[str], config: Config) -> pd.DataFrame:
    """The ROI of a connection is that of its PSD; compartments are kept if the file has both, else looked up."""
    own = {"compartment_pre", "compartment_post"}
    rebuilt = ["conf_pre", "conf_post", "body_pre", "body_post", *order, *sorted(own)]
    extras = [c for c in partners if c not in {"pre_id", "post_id", *rebuilt}]
    at = {side: _positions(points, partners[f"{side}_id"]) for side in ("pre", "post")}
    final = partners[["pre_id", "post_id", *extras, *rebuilt[:4]]].copy()
    for name in order:
        final[name] = points[name].array.take(at["post"])
    for side in ("pre", "post") if config.compartment_column else ():
        if own <= set(partners):
            final[f"compartment_{side}"] = _known(partners[f"compartment_{side}"])
        else:
            final[f"compartment_{side}"] = points[config.compartment_column].array.take(at[side])
    return final


def load_elements(config: Config, name: str) -> Elements:
    """Generic points with body from their table, without body 0; distances with both ends as ids."""
    spec = config.get(f"inputs.elements.{name}", {})
    table = with_ids_and_coordinates(read(config.path(spec["point-table"]))).astype({"body": "int64"})
    if spec.get("type"):
        if "type" in table and (table["type"].astype(object) != spec["type"]).any():
            raise ValueError(f"elements {name}: the table has another type than {spec['type']}")
        table["type"] = spec["type"]
    if not spec.get("permit-body-0", False):
        table = table[table["body"] != 0].reset_index(drop=True)
    order = spec.get("roi-set-names")
    table, roi_ids = add_rois(table, config, list(config.roi_sets) if order is None else order)
    distances = read(config.path(spec["distance-table"])) if spec.get("distance-table") else None
    for end in ("source", "target") if distances is not None else ():
        coordinates = distances[[f"{end}_{axis}" for axis in "xyz"]].set_axis(list("xyz"), axis=1)
        distances[f"{end}_id"] = with_ids_and_coordinates(coordinates)["point_id"]
    return Elements(table, distances, roi_ids)


def _refuse_shared_ids(ids: list[pd.Series]) -> None:
    """Synapses and elements share one space of ids."""
    if pd.concat(ids, ignore_index=True).duplicated().any():
        raise ValueError("two points have one id")


def load_body_sizes(config: Config) -> pd.DataFrame | None:
    """Without DVID: the cache as it is, if sizes are asked for."""
    cache = config.get("inputs.body-sizes.cache-file", "")
    if not (config.get("inputs.body-sizes.load-sizes", False) and cache):
        return None
    return read(config.path(cache))[["body", "size"]].astype("int64")
