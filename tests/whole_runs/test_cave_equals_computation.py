"""From 200,000 synapses come flat files, a database and reports that an independent computation gives, too."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from flyem_snapshot.connectome.status import STATUS_ORDER
from flyem_snapshot.verify.checks import Status
from flyem_snapshot.verify.run import checked
from flyem_snapshot.verify.snapshot import opened
from tests.cave_double import CaveDouble
from tests.cave_double.datastacks import replaced
from tests.cave_double.synthetic import synthetic_datastack
from tests.cave_runs import config, frame, live, report, snapshot

ROWS = 200_000
STATUSES = {"extended": "Traced", "clean": "Roughly traced"}
SETTINGS: dict[str, Any] = {
    "extra_columns": ["connection_score"],
    "confidence": {"column": "cleft_score", "one": 255, "at-least": 20},
    "voxel_size": [8, 8, 40],
    "annotations": [
        {"table": "cell_types", "columns": {"cell_type": "type"}, "position": "tag_position"},
        {"table": "cell_types_of_nuclei", "columns": {"cell_type": "nucleus_type"}, "several": "concat"},
        {"table": "proofreading", "status": {"column": "status", "values": STATUSES}},
    ],
    "soma": {},
    "rois": {"primary": {"table": "neuropils"}},
    "transmitters": {"valid-column": "valid_nt"},
}
META = {
    "dataset": "fly",
    "primaryRois": ["ME_R", "LO_R", "LOP_R", "AME_R", "MB_CA_R"],
    "roiHierarchy": {"brain": dict.fromkeys(["ME_R", "LO_R", "LOP_R", "AME_R", "MB_CA_R"])},
}
OUTPUTS = {
    "flat-connectome": {"export-connectome": True, "roi-set": "primary"},
    "neurotransmitters": {"export-neurotransmitters": True},
    "neuprint": {"export-neuprint-snapshot": True, "meta": META},
    "connectivity-reports": [{"roiset": "primary", "reports": [{}, {"rois": ["ME_R"]}]}],
    "tables": {"export-tables": False},
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """One run of everything, and the rows from which it was made."""
    folder = tmp_path_factory.mktemp("cave")
    with CaveDouble() as cave:
        stack = synthetic_datastack(cave, ROWS, schema="fly_nt_synapse", name="fly", bodies=500)
        synapses = stack.versions[1].tables["synapses"]
        valid = pa.array(np.random.default_rng(5).random(ROWS) < 0.8)
        synapses.data = replaced(synapses.data, "valid_nt", valid)
        cave.query_limit = 60_000
        roi_sets = {"roi-sets": {"primary": {"source": "point-table", "rois": {}}}}
        path = config(
            folder,
            live(cave, stack, folder, **SETTINGS),
            outputs=OUTPUTS,
            rois=roi_sets,
            synapses={"min-confidence": 0.3},
        )
        out = snapshot(path)
        version = stack.versions[1]
    tables = {name: version.tables[name].data.to_pandas(types_mapper=nullable) for name in version.tables}
    return SimpleNamespace(out=out, tables=tables, version=version, expected=expected_synapses(tables))


def nullable(kind: Any) -> Any:
    """Integers that may be missing stay integers."""
    return {"int64": pd.Int64Dtype(), "int32": pd.Int32Dtype()}.get(str(kind))


def expected_synapses(tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """The rows that must remain, in the order of ids, with what must become of their columns."""
    rows = tables["synapses"].sort_values("id").reset_index(drop=True)
    rois = tables["neuropils"].set_index("target_id")["neuropil"]
    used = pd.DataFrame(
        {
            "id": rows["id"].astype("int64"),
            "score": rows["cleft_score"].astype("float64"),
            "roi": rows["id"].map(rois),
            "connection_score": rows["connection_score"],
            **{name: rows[name] for name in ("gaba", "ach", "glut", "oct", "ser", "da", "valid_nt")},
        }
    )
    for side in ("pre", "post"):
        root = rows[f"{side}_pt_root_id"].fillna(0).astype("int64")
        used[f"body_{side}"] = root.where(root > 1, 0)
        supervoxel = rows[f"{side}_pt_supervoxel_id"].fillna(0).astype("int64")
        used[f"sv_{side}"] = supervoxel.where(supervoxel > 1, 0)
        for axis, factor in (("x", 2), ("y", 2), ("z", 1)):
            used[f"{axis}_{side}"] = rows[f"{side}_pt_position_{axis}"].astype("int64") // factor
    used["conf"] = (used["score"] / 255).clip(0, 1).astype("float32")
    keep = (used["score"] >= 20) & (used["conf"] >= np.float32(0.3)) & (used["body_pre"] > 0) & (used["body_post"] > 0)
    return used[keep].reset_index(drop=True)


def test_points_and_partners(made):
    rows = made.expected
    points = frame(made.out, "flat-connectome/syn-points-*")
    partners = frame(made.out, "flat-connectome/syn-partners-*3.feather")

    ids = np.stack([2 * rows["id"], 2 * rows["id"] + 1], axis=1).ravel()
    assert points.index.dtype == "uint64"
    np.testing.assert_array_equal(points.index, ids)
    for name in ("x", "y", "z", "body", "sv"):
        np.testing.assert_array_equal(points[name], np.stack([rows[f"{name}_pre"], rows[f"{name}_post"]], 1).ravel())
    np.testing.assert_array_equal(points["conf"], np.repeat(rows["conf"], 2))
    np.testing.assert_array_equal(points["connection_score"], np.repeat(rows["connection_score"], 2))
    assert points["kind"].tolist() == ["PreSyn", "PostSyn"] * len(rows)
    assert points["primary"].tolist() == np.repeat(rows["roi"].to_numpy(), 2).tolist()
    for name in ("x_pre", "y_pre", "z_pre", "body_pre", "x_post", "y_post", "z_post", "body_post"):
        np.testing.assert_array_equal(partners[name], rows[name])
    np.testing.assert_array_equal(partners["pre_id"], 2 * rows["id"])
    np.testing.assert_array_equal(partners["post_id"], 2 * rows["id"] + 1)
    assert partners["primary_post"].tolist() == rows["roi"].tolist()


def test_weights(made):
    found = frame(made.out, "flat-connectome/connectome-weights-*3.feather")

    expected = made.expected.groupby(["body_pre", "body_post"]).size().rename("weight").reset_index()
    expected = expected.sort_values(["weight", "body_pre", "body_post"], ascending=[False, True, True])
    pd.testing.assert_frame_equal(found, expected.reset_index(drop=True))


def body_of(rows: pd.DataFrame) -> pd.Series:
    root = rows["pt_root_id"].fillna(0).astype("int64")
    return root[root > 1]


def expected_statuses(made) -> pd.Series:
    rows = made.tables["proofreading"]
    return rows["status"].map(STATUSES).set_axis(body_of(rows)).dropna()


def test_annotations(made):
    (path,) = made.out.glob("flat-connectome/body-annotations-*")
    found = frame(made.out, f"flat-connectome/{path.name}").set_index("bodyId")
    types, nuclei, about = (made.tables[name] for name in ("cell_types", "nuclei", "cell_types_of_nuclei"))

    assert dict(found["type"].dropna()) == dict(zip(body_of(types), types["cell_type"], strict=True))
    assert {b: s for b, s in found["statusLabel"].items() if isinstance(s, str)} == dict(expected_statuses(made))
    # A body has one or two nuclei; each of them has a type.
    joined = about.merge(nuclei, left_on="target_id", right_on="id").sort_values("id_x")
    names = joined.groupby(joined["pt_root_id"].astype("int64"))["cell_type"].agg(lambda v: "; ".join(dict.fromkeys(v)))
    assert dict(found["nucleusType"].dropna()) == dict(names)
    alone = nuclei.groupby("pt_root_id").filter(lambda group: len(group) == 1)
    places = zip(alone["pt_position_x"] // 2, alone["pt_position_y"] // 2, alone["pt_position_z"], strict=True)
    expected = {int(body): [int(v) for v in place] for body, place in zip(alone["pt_root_id"], places, strict=True)}
    assert {body: list(place) for body, place in found["somaLocation"].dropna().items()} == expected
    places = zip(types["pt_position_x"] // 2, types["pt_position_y"] // 2, types["pt_position_z"], strict=True)
    assert {b: list(p) for b, p in found["tagPosition"].dropna().items()} == {
        int(body): [int(v) for v in place] for body, place in zip(types["pt_root_id"], places, strict=True)
    }


def cells(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV as text."""
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_the_segments_of_the_database(made):
    found = [row for path in (made.out / "neuprint" / "Neuprint_Neurons").glob("*.csv") for row in cells(path)]
    segments = {int(row["bodyId:long"]): row for row in found}
    rows = made.expected

    pre, post = rows["body_pre"].value_counts(), rows["body_post"].value_counts()
    partners = rows.groupby("body_pre")["body_post"].nunique(), rows.groupby("body_post")["body_pre"].nunique()
    with_synapse = set(rows["body_pre"]) | set(rows["body_post"])
    assert with_synapse <= segments.keys()
    for body in with_synapse:
        row = segments[body]
        assert row[":ID(Body-ID)"] == str(body)
        counts = [int(row[f"{name}:int"]) for name in ("pre", "post", "downstream", "upstream")]
        assert counts == [pre.get(body, 0), post.get(body, 0), pre.get(body, 0), post.get(body, 0)]
        others = [int(row[f"{name}:int"]) for name in ("downstreamPartners", "upstreamPartners")]
        assert others == [partners[0].get(body, 0), partners[1].get(body, 0)]
    by_roi = rows.groupby(["body_post", "roi"]).size()
    for (body, roi), number in by_roi.items():
        assert json.loads(segments[body]["roiInfo:string"])[roi]["post"] == number


def test_the_edges_and_synapses_of_the_database(made):
    folder, rows = made.out / "neuprint", made.expected

    weights = rows.groupby(["body_pre", "body_post"]).size()
    edges = cells(folder / "Neuprint_Neuron_Connections.csv")
    found = {(int(r[":START_ID(Body-ID)"]), int(r[":END_ID(Body-ID)"])): int(r["weight:int"]) for r in edges}
    assert found == {(int(a), int(b)): int(n) for (a, b), n in weights.items()}
    pairs = cells(folder / "Neuprint_Synapse_Connections.csv")
    assert [(int(r[":START_ID(Element-ID)"]), int(r[":END_ID(Element-ID)"])) for r in pairs] == [
        (2 * i, 2 * i + 1) for i in rows["id"]
    ]
    nodes = {int(r[":ID(Element-ID)"]): r for path in (folder / "Neuprint_Synapses").glob("*.csv") for r in cells(path)}
    assert len(nodes) == 2 * len(rows)
    for row in rows.sample(500, random_state=1).itertuples():
        tbar, psd = nodes[2 * row.id], nodes[2 * row.id + 1]
        assert (tbar["type:string"], psd["type:string"]) == ("pre", "post")
        assert (int(tbar["bodyId:long"]), int(psd["bodyId:long"])) == (row.body_pre, row.body_post)
        assert tbar["location:point{srid:9157}"] == f"{{x:{row.x_pre}, y:{row.y_pre}, z:{row.z_pre}}}"
        assert psd["location:point{srid:9157}"] == f"{{x:{row.x_post}, y:{row.y_post}, z:{row.z_post}}}"
        assert np.float32(tbar["confidence:float"]) == np.float32(row.conf)
        if row.valid_nt is True:
            assert np.float32(tbar["ntGabaProb:float"]) == np.float32(row.gaba)


def test_the_database_says_what_it_is_of(made):
    (meta,) = cells(made.out / "neuprint" / "Neuprint_Meta.csv")

    assert meta["uuid:string"] == "fly:v1"
    assert meta["lastDatabaseEdit:string"] == f"{made.version.time_stamp:%Y-%m-%d %H:%M:%S}+00:00"
    assert meta["voxelSize:float[]"] == "8.0;8.0;40.0"
    assert meta["totalPreCount:int"] == meta["totalPostCount:int"] == str(len(made.expected))


def test_the_reports(made):
    (path,) = made.out.glob("reports/primary/reports/all/all-syn_counts_df-*.feather")
    found = frame(made.out, str(path.relative_to(made.out))).set_index("body")
    rows = made.expected

    pre, post = rows["body_pre"].value_counts(), rows["body_post"].value_counts()
    with_synapse = sorted(set(rows["body_pre"]) | set(rows["body_post"]))
    counts = found.loc[with_synapse]
    assert counts["presyn"].tolist() == [pre.get(b, 0) for b in with_synapse]
    assert counts["postsyn"].tolist() == [post.get(b, 0) for b in with_synapse]
    # The best status first, then the most synapses.
    order = {name: place for place, name in enumerate(STATUS_ORDER)}
    status = dict(expected_statuses(made))
    keys = [
        (-order[status.get(b, "")], -int(found.loc[b, "synweight"]), -int(found.loc[b, "presyn"])) for b in found.index
    ]
    assert keys == sorted(keys)
    stats = frame(made.out, "reports/primary/primary-all-status-stats.feather")
    traced = {b for b, name in status.items() if name == "Traced"}
    both = rows["body_pre"].isin(traced) & rows["body_post"].isin(traced)
    of_all = stats[stats.filter(like="status").eq("Traced").any(axis=1)].iloc[0]
    assert of_all["traced_conn_frac"] == pytest.approx(both.sum() / len(rows))
    assert of_all["traced_presyn_frac"] == pytest.approx(rows["body_pre"].isin(traced).sum() / len(rows))


def test_what_cannot_be_shown_is_counted(made):
    rows, counts = made.tables["synapses"], report(made.out)["counts"]
    used = rows[rows["cleft_score"] >= 20]

    for side, what in (("pre", "T-bars"), ("post", "PSDs")):
        root = used[f"{side}_pt_root_id"]
        assert counts[f"{what} whose root id is not looked up (null)"] == root.isna().sum() > 0
        assert counts[f"{what} whose root id is outside of the segmentation (0)"] == (root == 0).sum() > 0
    same = used["pre_pt_root_id"].eq(used["post_pt_root_id"]) & used["pre_pt_root_id"].gt(1)
    assert counts["connections of a body with itself"] == same.fillna(value=False).sum()
    assert counts["bodies with several nuclei, whose soma is unknown"] == 10


def test_the_report_and_the_tag_say_which_version_it_is(made):
    about = report(made.out)

    assert (about["datastack"], about["version"], about["is-merged"]) == ("fly", 1, True)
    assert about["time_stamp"] == made.version.time_stamp.isoformat()
    assert about["tables"]["synapses"]["rows"] == ROWS
    assert about["tables"]["synapses"]["schema"] == "fly_nt_synapse"
    assert about["tables"]["cell_types"]["notice"] == "read the paper before use"
    tag = f"{made.version.time_stamp:%Y-%m-%d}-v1"
    assert (made.out / f"flat-connectome/syn-points-{tag}-minconf-0.3.feather").is_file()
    source = json.loads((made.out / "run-summary.json").read_text())["sources"]["inputs.cave"]
    assert (source["datastack"], source["version"], source["at-end"]["status"]) == ("fly", 1, "AVAILABLE")
    assert "version: 1\n" in (made.out / "final-config.yaml").read_text()


def test_the_snapshot_agrees_with_itself(made):
    with opened(made.out) as found:
        assert [r for r in checked(found) if r.status in (Status.FAIL, Status.UNCHECKED)] == []
