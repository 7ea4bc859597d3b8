"""The neuPrint export holds, row for row and cell for cell, what an independent computation in pandas says."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from flyem_snapshot.verify.checks import Status
from flyem_snapshot.verify.run import checked
from flyem_snapshot.verify.snapshot import opened
from tests import neuprint_tiny, tiny
from tests.neuprint_tiny import META, WITH_ELEMENTS
from tests.oracle.load import load
from tests.oracle.neuprint import export
from tests.oracle.neuprint_compare import assert_export_equals
from tests.oracle.neuprint_read import read_csvs
from tests.running import run_snapshot, tree

NEUPRINT = "outputs.neuprint"
# Outputs that are compared elsewhere.
OTHERS = ("outputs.neurotransmitters", "outputs.connectivity-reports")
FORMULAS = {"layer": {"layerNumber": "x % 100", "layerArea": "x // 100"}}


def settings(**values: Any) -> dict[str, Any]:
    """Settings of outputs.neuprint by their names with underscores."""
    return {f"{NEUPRINT}.{name.replace('_', '-')}": value for name, value in values.items()}


def assert_equal_to_oracle(config: Path) -> Path:
    """Run the program and the oracle on one config; returns the folder of the export, which verification confirms."""
    out = run_snapshot(config)
    assert_export_equals(out / "neuprint", export(load(config)))
    with opened(out) as snapshot:
        assert [result for result in checked(snapshot) if result.status in (Status.FAIL, Status.UNCHECKED)] == []
    return out / "neuprint"


TINY: dict[str, dict[str, Any]] = {
    "as it is": {},
    "info totals": settings(restrict_info_totals_to_roiset="primary"),
    "connectivity": settings(restrict_connectivity_to_roiset="layer"),
    "both restrictions": settings(restrict_info_totals_to_roiset="primary", restrict_connectivity_to_roiset="layer"),
    "connectivity to a set that is not exported": settings(
        restrict_connectivity_to_roiset="layer", roi_set_names=["primary"]
    ),
    "non-synaptic segments": settings(keep_non_synaptic_segments=True),
    "non-synaptic segments in a restriction": settings(
        keep_non_synaptic_segments=True, restrict_connectivity_to_roiset="layer"
    ),
    "labels by counts": settings(neuron_label_criteria={"properties": [], "status": [], "post": 3, "pre": 2}),
    "labels by status": settings(
        neuron_label_criteria={"properties": ["type"], "status": ["Orphan"], "excluded-status": ["Traced"]}
    ),
    "formulas": settings(roi_synapse_properties=FORMULAS),
    "one set": settings(roi_set_names=["layer"]),
    "no set": settings(roi_set_names=[]),
    "no ROI sets at all": {
        "inputs.rois.roi-sets": tiny.DELETE,
        "outputs.flat-connectome.roi-set": tiny.DELETE,
        **settings(meta=META | {"primaryRois": [tiny.ME]}),
    },
    "consistent totals": settings(consistent_totals=True),
    "zeros kept": settings(keep_zero=["pre", "post"]),
    "one zero kept": settings(keep_zero=["pre"]),
    "compressed": settings(compress="gzip"),
    "few files": settings(max_segment_files=1),
    "body 0": {"inputs.synapses.permit-body-0": True},
    "every confidence": {"inputs.synapses.min-confidence": 0.0},
    "no annotations": {"annotations": None, "inputs.annotations": tiny.DELETE},
    "no compartments": {"inputs.synapses.compartment-column": tiny.DELETE},
    "thresholds the other way round": settings(meta=META | {"postHPThreshold": 0.6}),
    "no thresholds": settings(meta=META | {"postHPThreshold": 0.0, "postHighAccuracyThreshold": 0.0}),
    "names of properties": settings(annotation_property_names={"type": "kind", "instance": "", "class": "kind"}),
    "a hierarchy from a set": settings(
        meta=META | {"primaryRois": [], "roiHierarchy": {"brain": "roiset://primary"}}, roi_set_names=["primary"]
    ),
}


@pytest.mark.parametrize("name", TINY)
def test_tiny_connectome(tmp_path: Path, name: str) -> None:
    folder = assert_equal_to_oracle(neuprint_tiny.write(tmp_path, **TINY[name]))
    if name == "compressed":
        assert not list(folder.rglob("*.csv"))


def mito(**totals: str) -> dict[str, Any]:
    """Only some of the totals of the elements."""
    return settings(element_totals={"mito": {k.replace("_", "-"): v for k, v in totals.items()}})


ELEMENTS: dict[str, dict[str, Any]] = {
    "as it is": {},
    "elements": settings(restrict_elements_to_roiset="layer"),
    "info totals": settings(restrict_info_totals_to_roiset="primary"),
    "everything": settings(
        restrict_info_totals_to_roiset="primary",
        restrict_connectivity_to_roiset="layer",
        restrict_elements_to_roiset="layer",
        keep_non_synaptic_segments=True,
        compress="gzip",
        roi_synapse_properties=FORMULAS,
    ),
    "totals of segments only": mito(compute_segment_totals_with_name="totalMito"),
    "totals of ROIs only": mito(compute_roi_totals_with_name="mito"),
    "totals of kinds only": mito(compute_kind_totals_for_column="mitoType"),
    "no totals": settings(element_totals={}, element_labels={}),
    "body 0": {"inputs.elements": {"mito": WITH_ELEMENTS["inputs.elements"]["mito"] | {"permit-body-0": True}}},
    "no distances": {"inputs.elements": {"mito": {"point-table": "mito.feather", "type": "mito"}}},
    "no ROI sets of their own": {
        "inputs.elements": {"mito": WITH_ELEMENTS["inputs.elements"]["mito"] | {"roi-set-names": []}}
    },
}


@pytest.mark.parametrize("name", ELEMENTS)
def test_tiny_connectome_with_elements(tmp_path: Path, name: str) -> None:
    assert_equal_to_oracle(neuprint_tiny.write(tmp_path, **(WITH_ELEMENTS | ELEMENTS[name])))


def edited(source: Path, target: Path, changes: dict[str, Any]) -> Path:
    """A config beside the first one with some settings changed; tiny.DELETE takes a key out."""
    yaml = YAML()  # keeps the order of keys, which the order of ROI sets and elements hangs on
    config = yaml.load(source)
    for dotted, value in changes.items():
        *sections, key = dotted.split(".")
        node = config
        for section in sections:
            node = node.setdefault(section, {})
        if value is tiny.DELETE:
            node.pop(key, None)
        else:
            node[key] = value
    yaml.dump(config, target)
    return target


def synthetic(folder: Path, shared: Path, psds: int, **changes: Any) -> Path:
    """A generated data set with elements and predicted neurotransmitters; its config without the other outputs."""
    script = shared / "tools" / "make_connectome.py"
    command = [sys.executable, str(script), "--psds", str(psds), "--out", str(folder), "--fake", "--seed", "7"]
    subprocess.run(command, check=True, capture_output=True)
    always = {
        **dict.fromkeys(OTHERS, tiny.DELETE),
        "job-settings.output-dir": "out",
        "outputs.flat-connectome.export-connectome": False,
        f"{NEUPRINT}.element-labels": {"soma": "Soma", "mito": "Mito"},
        f"{NEUPRINT}.indexes": tiny.DELETE,
    }
    return edited(folder / "config.yaml", folder / "neuprint.yaml", always | changes)


@pytest.mark.parametrize("psds", [20_000, 200_000])
def test_synthetic_connectome_with_elements(tmp_path: Path, shared: Path, psds: int) -> None:
    assert_equal_to_oracle(synthetic(tmp_path, shared, psds))


def test_synthetic_connectome_with_every_restriction(tmp_path: Path, shared: Path) -> None:
    changes = settings(
        restrict_info_totals_to_roiset="primary",
        restrict_connectivity_to_roiset="shell",
        restrict_elements_to_roiset="layer",
        keep_non_synaptic_segments=True,
        consistent_totals=True,
        keep_zero=["post"],
        max_segment_files=5,
        compress="gzip",
    )
    assert_equal_to_oracle(synthetic(tmp_path, shared, 20_000, **changes))


def test_neither_processes_nor_memory_change_the_content(tmp_path: Path, shared: Path) -> None:
    config = synthetic(tmp_path, shared, 20_000)
    expected = export(load(config))
    first = None
    for number, (processes, memory) in enumerate([(1, "300MB"), (2, "300MB"), (2, "4GB")]):
        changes = {
            "job-settings.output-dir": f"out-{number}",
            "job-settings.processes": processes,
            "job-settings.memory-limit": memory,
        }
        folder = run_snapshot(edited(config, tmp_path / f"{number}.yaml", changes)) / "neuprint"
        assert_export_equals(folder, expected)
        rows = {k: sorted(map(tuple, f.sheet.rows.to_numpy().tolist())) for k, f in read_csvs(folder).items()}
        first = first or (rows, tree(folder))
        assert rows == first[0]


def test_the_shipped_example(tmp_path: Path, root: Path) -> None:
    for path in (root / "examples" / "hemibrain-mb").glob("*.*"):
        if path.is_file():
            shutil.copy(path, tmp_path)
    meta = {
        "dataset": "mushroombody",
        "tag": "v1",
        "postHighAccuracyThreshold": 0.5,
        "postHPThreshold": 0.7,
        "primaryRois": ["aL(R)", "a'L(R)"],
        "roiHierarchy": {"brain": {"lobes": "roiset://lobes", "rois": "roiset://roi"}},
    }
    changes = {
        **settings(export_neuprint_snapshot=True, meta=meta, indexes=tiny.DELETE),
        "outputs.flat-connectome.export-connectome": False,
    }
    assert_equal_to_oracle(edited(tmp_path / "config.yaml", tmp_path / "neuprint.yaml", changes))
