"""The examples of docs/cave-client.md, run against the double: the tutorial, with the answers of today."""

from __future__ import annotations

import doctest
import json
import logging
import re

import numpy as np
import pyarrow as pa
import pytest

from tests.cave.conftest import DATASTACK, VOLUME
from tests.cave_double import CaveDouble

ROOT_ID = 864691134988869442
SUPERVOXELS = [109291800606721042, 109291800606721603, 109362238070465629]
GLOBAL, LOCAL = "https://global.example", "https://local.example"
EXAMPLE_STATE = {
    "layers": [
        {"source": "precomputed://https://storage.example/img", "type": "image", "blend": "default", "name": "img"}
    ]
}


@pytest.fixture
def cave():
    """The tutorial's datastack: two tables, the first nucleus on a body and the other one not looked up."""
    with CaveDouble() as cave:
        stack = cave.new_datastack(
            DATASTACK,
            VOLUME,
            graph="minnie3_v0",
            segmentation_source="graphene://https://minniev1.microns-daf.com/segmentation/table/minnie3_v0",
            skeleton_source="https://storage.googleapis.com/minnie/skeletons",
        )
        stack.volume.image_source = "graphene://https://minnie.microns-daf.com/proxy/minniev2_em/"
        stack.graph.load(np.array(SUPERVOXELS, np.uint64), np.full(3, ROOT_ID, np.uint64))
        stack.volume.new_table("test_synapse", "synapse")
        nuclei = stack.volume.new_table("test_nuc_detection", "nucleus_detection")
        nuclei.load(
            pa.table(
                {
                    "id": [1, 2],
                    "pt_position_x": [10, 11],
                    "pt_position_y": [20, 21],
                    "pt_position_z": [30, 31],
                    "pt_supervoxel_id": [SUPERVOXELS[2], None],
                }
            )
        )
        cave.states.add(json.dumps(EXAMPLE_STATE).encode())
        stack.freeze()
        cave.accounts.add("fake_token_123")
        yield cave


def test_every_example_of_the_manual_does_what_it_says(cave, root, home):
    page = (root / "docs" / "cave-client.md").read_text()
    text = "\n".join(re.findall(r"```python\n(.*?)```", page, re.DOTALL))
    for shown, real in ((GLOBAL, cave.url), (LOCAL, cave.url), ("~/", f"{home}/")):
        text = text.replace(shown, real)
    examples = doctest.DocTestParser().get_doctest(text, {}, "cave-client.md", None, 0)
    said: list[str] = []
    logging.disable()  # another test may have switched the log on, and it would stand among the answers
    try:
        outcome = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(examples, out=said.append)
    finally:
        logging.disable(logging.NOTSET)
    assert not outcome.failed, "".join(said)
    assert outcome.attempted > 70
