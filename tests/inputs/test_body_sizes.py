"""Body sizes are read from a table and checked."""

from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import feather

from flyem_snapshot.errors import DataError, SettingError
from flyem_snapshot.inputs.body_sizes import STAGE, check_body_sizes, load_body_sizes
from flyem_snapshot.inputs.body_sizes_settings import BodySizesSettings
from tests.contexts import make_context

BIG = 720575940596125869
NOTHING_ELSE = dict.fromkeys(("annotations", "synapses", "elements", "dvid_seg"))
"""The other tables that the stage may read, none of which is there."""


@pytest.fixture
def load(tmp_path):
    def _load(**columns):
        path = tmp_path / "sizes.feather"
        feather.write_feather(pa.table(columns), str(path))
        return load_body_sizes(
            BodySizesSettings(load_sizes=True, cache_file=path), make_context(tmp_path, "body-sizes"), **NOTHING_ELSE
        )

    return _load


@pytest.mark.parametrize("kind", [pa.int64(), pa.uint64()])
def test_sizes_are_int64_by_body(load, kind):
    sizes = load(body=pa.array([BIG, 3], kind), size=pa.array([2**40, 0], kind), more=["a", "b"]).sizes

    assert sizes.to_dict() == {BIG: 2**40, 3: 0}
    assert sizes.index.name == "body"
    assert sizes.dtype == sizes.index.dtype == np.int64


def test_csv_serves_as_well(tmp_path):
    path = tmp_path / "sizes.csv"
    path.write_text(f"body,size\n{BIG},5\n")

    sizes = load_body_sizes(
        BodySizesSettings(load_sizes=True, cache_file=path), make_context(tmp_path), **NOTHING_ELSE
    ).sizes

    assert sizes.to_dict() == {BIG: 5}


def test_the_stage_can_be_reopened(load, tmp_path):
    kept = load(body=[1, 2], size=[3, 4])

    again = STAGE.produces.reopen(make_context(tmp_path, "body-sizes"), kept.record())

    assert again.sizes.equals(kept.sizes)
    assert STAGE.field == "body_sizes"


def test_sizes_are_not_loaded_unless_wanted(tmp_path):
    config = BodySizesSettings(load_sizes=False, cache_file=tmp_path / "no such file")

    assert load_body_sizes(config, make_context(tmp_path), **NOTHING_ELSE) is None


def test_sizes_without_a_table_are_a_fault_of_the_settings(tmp_path):
    config = BodySizesSettings.model_construct(load_sizes=True, cache_file=None)

    with pytest.raises(SettingError, match="add 'cache-file: FILE'"):
        load_body_sizes(config, make_context(tmp_path), **NOTHING_ELSE)


def test_a_check_finds_that_sizes_have_no_source_and_that_a_server_needs_a_version(tmp_path):
    def found(server, **settings):
        whole = SimpleNamespace(inputs=SimpleNamespace(dvid_seg=SimpleNamespace(server=server)))
        return [str(error) for error in check_body_sizes(BodySizesSettings(load_sizes=True, **settings), whole)]

    feather.write_feather(pa.table({"body": [1], "size": [2]}), str(tmp_path / "sizes.feather"))
    table = {"cache_file": tmp_path / "sizes.feather"}

    without = (
        "load-sizes: body sizes are wanted, but no cache-file names a table of them\n"
        "  hint: add 'cache-file: FILE' (columns body and size), or write 'load-sizes: false'"
    )
    assert found(None) == [without]
    assert found("somewhere") == found(None, **table) == found("somewhere", **table, cache_uuid="abc") == []
    (message,) = found("somewhere", **table)
    assert message.startswith("cache-file: which version its sizes are of is not known")


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        ({"body": [1]}, "there is no column 'size'"),
        ({"size": [1]}, "there is no column 'body'"),
        ({"body": [1, 1], "size": [1, 1]}, "column 'body': repeats an earlier row (1 row); first: 1"),
        ({"body": [1, None], "size": [1, 1]}, "column 'body': has no value (1 row); first: row 2"),
        ({"body": [1, 2], "size": [None, 1]}, "column 'size': has no value (1 row); first: row 1"),
        ({"body": [1, 2], "size": [5, -1]}, "column 'size': is negative (1 row); first: -1"),
        ({"body": [1, 2], "size": [5, 1.5]}, "column 'size': is not a whole number (1 row); first: 1.5"),
        ({"body": [1], "size": ["big"]}, "column 'size': must hold whole numbers, but holds string"),
    ],
)
def test_faulty_sizes_are_refused(load, tmp_path, columns, says):
    with pytest.raises(DataError) as caught:
        load(**columns)

    assert str(caught.value).startswith(f"{tmp_path / 'sizes.feather'}: {says}")
