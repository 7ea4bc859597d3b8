"""What a datastack gives is given by nothing else, and a snapshot has synapses from somewhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from flyem_snapshot.config.load import load_config
from flyem_snapshot.errors import ConfigError
from flyem_snapshot.pipeline.job import composed_model
from flyem_snapshot.pipeline.registry import INPUTS, OUTPUTS

CAVE = "inputs:\n  cave: {datastack: minnie, version: 1%s}\n"


def said(tmp_path: Path, text: str) -> list[str]:
    """The problems of a configuration, without hints."""
    path = tmp_path / "config.yaml"
    path.write_text(text)
    try:
        load_config(path, composed_model((*INPUTS, *OUTPUTS)))
    except ConfigError as error:
        return [line.removeprefix(f"{path}:") for line in str(error).splitlines() if not line.startswith(" ")]
    return []


def test_a_datastack_is_enough(tmp_path):
    assert said(tmp_path, CAVE % "") == []


@pytest.mark.parametrize(
    ("more", "rest", "problem"),
    [
        (
            "",
            "  synapses: {synapse-points: a, synapse-partners: b}\n",
            "inputs.synapses.synapse-points: is set, but the synapses are those of inputs.cave",
        ),
        ("", "  dvid-seg: {server: x}\n", "inputs.dvid-seg.server: is set, but the bodies are those of inputs.cave"),
        (
            ", soma: {}",
            "  annotations: {body-annotations-table: a}\n",
            "inputs.annotations.body-annotations-table: is set, but bodies are annotated by inputs.cave",
        ),
        (
            ", transmitters: {}",
            "  neurotransmitters: {synister-feather: a}\n",
            "inputs.neurotransmitters.synister-feather: is set, but inputs.cave has transmitters",
        ),
    ],
)
def test_two_sources_of_one_thing_are_refused(tmp_path, more, rest, problem):
    assert any(problem in line for line in said(tmp_path, CAVE % more + rest))


def test_annotations_of_ones_own_go_with_synapses_of_a_datastack(tmp_path):
    assert said(tmp_path, CAVE % "" + "  annotations: {body-annotations-table: a}\n") == []


def test_files_of_a_datastack_need_a_tag(tmp_path):
    text = "inputs:\n  cave: {static: {preset: codex, tables: {synapses: {file: a}}}}\n"

    assert said(tmp_path, text) == ["1:1: job-settings.snapshot-tag: is required, but not set"]
    assert said(tmp_path, text + "job-settings: {snapshot-tag: v1}\n") == []


def test_without_synapses_both_ways_are_said(tmp_path):
    lines = said(tmp_path, "job-settings: {snapshot-tag: v1}\n")

    assert lines == [
        "1:1: inputs.synapses.synapse-points: is required, but missing",
        "1:1: inputs.synapses.synapse-partners: is required, but missing",
    ]
