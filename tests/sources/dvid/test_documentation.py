"""The examples of docs/dvid.md, run against the double."""

from __future__ import annotations

import doctest
import logging
import re
from datetime import UTC, datetime

import numpy as np
import pytest

from tests.dvid_double import DvidDouble

SHOWN = "http://dvid.example:8000"
ROOT, LEAF = ("3ddc3f" + number.rjust(26, "0") for number in "12")
BIG = 2**53 + 1


@pytest.fixture
def dvid():
    """Four supervoxels of 32 voxels along x, the first two of which were merged at the leaf."""
    with DvidDouble() as dvid:
        dvid.clock.set(datetime(2024, 2, 1, 17, tzinfo=UTC))
        repo = dvid.new_repo("mushroom body", root=ROOT)
        cube = np.zeros((64, 64, 128), np.uint64)
        for number in range(4):
            cube[:, :, 32 * number : 32 * number + 32] = BIG + 2 * number
        labels = repo.labelmap("segmentation", cube)
        repo.commit(ROOT)
        repo.child(ROOT, new_uuid=LEAF)
        labels.merge(LEAF, BIG, [BIG + 2], timestamp="2024-02-01 17:05:06.25 +0000 UTC")
        repo.neuronjson("segmentation_annotations").set(LEAF, {BIG: {"type": "KCg", "status": "Anchor"}})
        repo.annotation("somata").set(LEAF, [{"Pos": [7, 6, 5], "Kind": "Note", "Prop": {"radius": "350"}}])
        yield dvid


def test_every_example_of_the_manual_does_what_it_says(dvid, root, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    page = (root / "docs" / "dvid.md").read_text()
    text = "\n".join(re.findall(r"```python\n(.*?)```", page, re.DOTALL)).replace(SHOWN, dvid.url)
    examples = doctest.DocTestParser().get_doctest(text, {}, "dvid.md", None, 0)
    said: list[str] = []
    logging.disable()  # another test may have switched the log on, and it would stand among the answers
    try:
        outcome = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(examples, out=said.append)
    finally:
        logging.disable(logging.NOTSET)
    assert not outcome.failed, "".join(said)
    assert outcome.attempted > 30
