"""Point ids and coordinates are two spellings of one voxel."""

import duckdb
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from flyem_snapshot.tables.points import COORDINATE_MAX, COORDINATE_MIN, coordinates_sql, decode, encode

COORDINATE = st.one_of(
    st.integers(-(2**20), 2**20 - 1),
    st.sampled_from([-(2**20), -1, 0, 1, 2**20 - 1]),  # the borders more often
)
XYZ = st.lists(st.tuples(COORDINATE, COORDINATE, COORDINATE), max_size=20)


def arrays(rows, dtype=np.int64):
    return np.array(rows, dtype).reshape(-1, 3).T


@pytest.mark.parametrize(
    ("x", "y", "z", "point_id"),
    [
        (76976, 58, 583, 2564061237685424),
        (0, 0, 0, 0),
        (1, 0, 0, 1),
        (0, 1, 0, 2**21),
        (0, 0, 1, 2**42),
        (-1, 0, 0, 2**21 - 1),
        (-1, -1, -1, 2**63 - 1),
        (-(2**20), 0, 0, 2**20),
        (0, 0, -(2**20), 2**62),
        (2**20 - 1, 2**20 - 1, 2**20 - 1, (2**20 - 1) * (1 + 2**21 + 2**42)),
    ],
)
def test_ids_written_out(x, y, z, point_id):
    ids = encode(*arrays([(x, y, z)]))

    assert ids.dtype == np.uint64
    assert ids.tolist() == [point_id]
    assert [axis.tolist() for axis in decode(ids)] == [[x], [y], [z]]


def test_the_range_is_21_bits_with_sign():
    assert (COORDINATE_MIN, COORDINATE_MAX) == (-1048576, 1048575)


@given(XYZ, st.sampled_from([np.int64, np.int32]))
@example([], np.int32)
def test_decoding_an_id_gives_its_coordinates(rows, dtype):
    ids = encode(*arrays(rows, dtype))
    x, y, z = decode(ids)

    assert {axis.dtype for axis in (x, y, z)} == {np.dtype(np.int32)}
    assert list(zip(x.tolist(), y.tolist(), z.tolist(), strict=True)) == rows
    assert all(point_id < 2**63 for point_id in ids.tolist()), "bit 63 is zero, so ids fit int64, too"


@given(st.lists(st.integers(0, 2**63 - 1), max_size=20))
def test_every_63_bit_number_is_the_id_of_its_coordinates(numbers):
    ids = np.array(numbers, np.uint64)

    assert encode(*decode(ids)).tolist() == numbers


@given(st.lists(st.tuples(*[st.integers(0, 2**20 - 1)] * 3), min_size=1, max_size=20))
def test_ids_of_non_negative_coordinates_sort_by_z_then_y_then_x(rows):
    ids = encode(*arrays(rows)).tolist()

    by_id = [row for _, row in sorted(zip(ids, rows, strict=True))]
    assert by_id == sorted(rows, key=lambda row: row[::-1])


@settings(max_examples=30)
@given(XYZ)
def test_the_database_decodes_ids_alike(rows):
    ids = encode(*arrays(rows)).tolist()
    sql = coordinates_sql('"point id"')
    with duckdb.connect() as database:
        database.execute('CREATE TABLE points (row INTEGER, "point id" UBIGINT)')
        for row in enumerate(ids):
            database.execute("INSERT INTO points VALUES (?, ?)", row)
        result = database.execute(f"SELECT {sql['x']}, {sql['y']}, {sql['z']} FROM points ORDER BY row")

        assert {str(column[1]) for column in result.description} == {"INTEGER"}
        assert result.fetchall() == rows
