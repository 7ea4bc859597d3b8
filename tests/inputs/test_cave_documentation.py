"""docs/cave.md: its configurations load, and its output is that of a run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from flyem_snapshot.config.load import load_config
from flyem_snapshot.inputs.cave.presets import PRESETS
from flyem_snapshot.pipeline.job import composed_model
from tests.cave_double import CaveDouble
from tests.cave_double.synthetic import synthetic_datastack
from tests.cave_runs import STAGES, live, snapshot


def blocks(root: Path, language: str) -> list[str]:
    """The examples of the page in a language."""
    page = (root / "docs" / "cave.md").read_text(encoding="utf-8")
    return re.findall(rf"```{language}\n(.*?)```", page, re.DOTALL)


def test_every_configuration_of_the_manual_loads(root, tmp_path):
    texts = blocks(root, "yaml")

    assert len(texts) == 3
    for text in texts:
        path = tmp_path / "config.yaml"
        path.write_text(text)
        assert load_config(path, composed_model(STAGES)).config.inputs.cave.enabled


def test_the_output_of_the_manual_is_that_of_its_first_configuration(root, tmp_path):
    with CaveDouble() as cave:
        stack = synthetic_datastack(cave, 20_000)
        own = live(cave, stack, tmp_path)
        text = blocks(root, "yaml")[0].replace("version: 1300", "version: 1")
        places = f"server-address: {cave.url}\n    auth-token-file: {own['auth-token-file']}\n    version: 1"
        path = tmp_path / "config.yaml"
        path.write_text(text.replace("version: 1", places, 1) + "job-settings: {output-dir: out, processes: 2}\n")
        out = snapshot(path)

    (shown,) = blocks(root, "json")
    assert shown in (out / "cave-input.json").read_text()
    assert list(out.glob("flat-connectome/syn-points-2026-01-05-v1-*.feather")), "the tag of the page"


@pytest.mark.parametrize("preset", [name for name in PRESETS if name != "cave"])
def test_every_preset_is_in_the_manual(root, preset):
    assert f"| `{preset}` |" in (root / "docs" / "cave.md").read_text(encoding="utf-8")
