"""What the tests of the pipeline may use."""

from __future__ import annotations

import pytest

from tests.pipeline.toy import Toy


@pytest.fixture
def toy(tmp_path):
    """A toy pipeline's config, input file and (not yet existing) output directory."""
    return Toy(tmp_path)
