from __future__ import annotations

import pandas as pd

from tests import tiny
from tests.running import run_snapshot


def test_bodies_have_the_property_names_that_the_user_chose_for_the_database(tmp_path):
    chosen = {"cell_body_fiber": "tract", "notes": ""}
    config = tiny.write(tmp_path, **{"outputs.neuprint": {"annotation-property-names": chosen}})
    (file,) = (run_snapshot(config) / "flat-connectome").glob("body-annotations-*.feather")
    columns = set(pd.read_feather(file).columns)

    assert "tract" in columns
    assert not columns & {"cellBodyFiber", "cell_body_fiber", "notes"}
