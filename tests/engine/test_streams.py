"""Laws of streams: nothing is lost, added or moved, however the stream was cut."""

import threading
import time
from contextvars import ContextVar
from itertools import pairwise

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pyarrow import feather

from flyem_snapshot.engine import streams
from flyem_snapshot.engine.streams import (
    FeatherWriter,
    FirstSeen,
    Rechunker,
    Vocabulary,
    dictionary_array,
    in_background,
    in_step,
    write_feather,
    write_parquet,
)

WORDS = st.sampled_from(["", "ME(R)", "O'Brien", "<unspecified>", "Ω", "nan", "None"])
INDEX_TYPES = [pa.int8(), pa.uint8(), pa.int16(), pa.uint16(), pa.int32(), pa.uint32(), pa.int64()]


@st.composite
def category_batches(draw):
    """(array, its values) pairs: text or categories, each dictionary its own, with entries unused, twice or null."""
    batches = []
    for _ in range(draw(st.integers(0, 4))):
        if draw(st.booleans()):
            values = draw(st.lists(st.one_of(WORDS, st.none()), max_size=8))
            batches.append((pa.array(values, draw(st.sampled_from([pa.string(), pa.large_string()]))), values))
            continue
        dictionary = draw(st.lists(st.one_of(WORDS, st.none()), max_size=6))
        entries = st.one_of(st.integers(0, len(dictionary) - 1), st.none()) if dictionary else st.none()
        indices = draw(st.lists(entries, max_size=8))
        array = pa.DictionaryArray.from_arrays(
            pa.array(indices, draw(st.sampled_from(INDEX_TYPES))), pa.array(dictionary, pa.string())
        )
        start = draw(st.integers(0, len(array)))
        values = [None if index is None else dictionary[index] for index in indices]
        batches.append((array[start:], values[start:]))
    return batches


@given(category_batches())
def test_decoding_the_codes_gives_the_values(batches):
    vocabulary = Vocabulary()
    for array, values in batches:
        codes = vocabulary.encode(array)
        assert codes.dtype == np.int32
        assert [vocabulary.values[code] for code in codes] == values
        assert [vocabulary.code(value) for value in values] == codes.tolist()

    occurring = {value for _, values in batches for value in values}
    assert set(vocabulary.values) == occurring | {None}, "categories that no row uses are not values"
    assert len(vocabulary) == len(vocabulary.values) == len(set(vocabulary.values))


@given(st.lists(st.lists(st.one_of(st.integers(-5, 5), st.none()))))
def test_codes_are_given_in_order_of_first_appearance_and_null_is_0(batches):
    vocabulary = Vocabulary()
    for batch in batches:
        vocabulary.encode(pa.array(batch, pa.int64()))

    values = [value for batch in batches for value in batch if value is not None]
    assert vocabulary.values == [None, *dict.fromkeys(values)]
    assert vocabulary.code("never seen") == -1


def test_a_vocabulary_may_be_begun_with_known_values():
    vocabulary = Vocabulary({"PreSyn": 1, "PostSyn": 2})

    assert vocabulary.encode(pa.array(["PostSyn", None, "other", "PreSyn"])).tolist() == [2, 0, 3, 1]


@pytest.mark.parametrize("size", [127, 128])
@pytest.mark.parametrize("index_type", [pa.int8(), pa.uint8(), pa.int16()], ids=str)
@pytest.mark.parametrize("with_null", [False, True])
def test_a_dictionary_as_large_as_its_indices_allow(index_type, size, with_null):
    # At 128 entries an int8 has no index left that could stand for null.
    indices = [*range(size), None] if with_null else [*range(size)]
    values = [f"roi {i}" for i in range(size)]
    array = pa.DictionaryArray.from_arrays(pa.array(indices, index_type), pa.array(values))
    vocabulary = Vocabulary()

    codes = vocabulary.encode(array)

    assert [vocabulary.values[code] for code in codes] == [*values, None][: len(indices)]


def test_a_full_unsigned_dictionary():
    values = [f"roi {i}" for i in range(256)]
    array = pa.DictionaryArray.from_arrays(pa.array([255, None, 0, 128], pa.uint8()), pa.array(values))
    vocabulary = Vocabulary()

    assert [vocabulary.values[code] for code in vocabulary.encode(array)] == ["roi 255", None, "roi 0", "roi 128"]


@given(st.lists(st.lists(st.integers(0, 9))))
def test_first_seen_gives_distinct_values_in_order_of_appearance(batches):
    seen = FirstSeen()
    for batch in batches:
        seen.add(np.array(batch, np.int32))

    assert seen.order().tolist() == list(dict.fromkeys(value for batch in batches for value in batch))
    assert seen.order().dtype == np.int32


@given(st.lists(st.one_of(st.integers(0, 2), st.just(-1)), max_size=10), st.booleans())
def test_a_category_column_from_codes(codes, ordered):
    array = dictionary_array(np.array(codes, np.int64), ["c", "a", "b"], ordered=ordered)

    assert array.to_pylist() == [None if code < 0 else "cab"[code] for code in codes]
    assert array.dictionary.to_pylist() == ["c", "a", "b"]
    assert array.type == pa.dictionary(pa.int8(), pa.string(), ordered=ordered)


@pytest.mark.parametrize(
    ("size", "index_type"), [(0, "int8"), (127, "int8"), (128, "int16"), (32767, "int16"), (32768, "int32")]
)
def test_the_index_type_of_a_category_depends_on_the_vocabulary_only(size, index_type):
    array = dictionary_array(np.array([size - 1] if size else [-1]), [str(i) for i in range(size)])

    assert str(array.type.index_type) == index_type
    assert array.to_pylist() == ([str(size - 1)] if size else [None])


def batches_of(rows, cuts):
    """The numbers 0 .. rows - 1 as record batches cut at `cuts`, empty batches among them; every third is null."""
    table = pa.record_batch(
        {
            "id": pa.array(range(rows), pa.uint64()),
            "roi": pa.array([None if i % 3 == 0 else f"roi {i}" for i in range(rows)], pa.string()),
            "flag": pa.array([None if i % 5 == 0 else i % 2 == 0 for i in range(rows)], pa.bool_()),
        }
    )
    edges = [0, *sorted(min(cut, rows) for cut in cuts), rows]
    slices = [table.slice(a, b - a) for a, b in pairwise(edges)]
    # Copied, because a slice carries the whole table with it, and batches that come from elsewhere do not.
    return [pa.concat_batches([part, part.slice(0, 0)]) for part in slices]


CUTS = st.lists(st.integers(0, 60), max_size=8)


@given(rows=st.integers(0, 60), cuts=CUTS, size=st.integers(1, 20))
@example(rows=0, cuts=[0, 0], size=1)
@example(rows=40, cuts=[], size=20)
def test_rechunking_changes_nothing_but_the_cuts(rows, cuts, size):
    batches = batches_of(rows, cuts)

    pieces = list(Rechunker(size).all(batches))

    assert pa.Table.from_batches(pieces, batches[0].schema) == pa.Table.from_batches(batches)
    assert [piece.num_rows for piece in pieces[:-1]] == [size] * (len(pieces) - 1)
    assert all(0 < piece.num_rows <= size for piece in pieces)


def test_rechunking_yields_a_batch_as_soon_as_it_is_complete():
    chunks = Rechunker(4)
    batches = batches_of(10, [3, 5])

    assert [[len(piece) for piece in chunks.push(batch)] for batch in batches] == [[], [4], [4]]
    assert [len(piece) for piece in chunks.flush()] == [2]
    assert list(chunks.flush()) == []


@given(rows=st.integers(0, 60), left=CUTS, right=CUTS, size=st.integers(1, 20))
def test_streams_in_step_are_joined_row_by_row(rows, left, right, size):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(streams, "FEATHER_ROWS", size)
        others = [batch.select(["roi"]).rename_columns(["other"]) for batch in batches_of(rows, right)]
        joined = list(in_step(batches_of(rows, left), others))

    found = [row for batch in joined for row in batch.to_pylist()]
    expected = [row for batch in batches_of(rows, []) for row in batch.to_pylist()]
    assert found == [{**row, "other": row["roi"]} for row in expected]


@pytest.mark.parametrize(("left", "right"), [(5, 6), (6, 5), (4, 8), (0, 1)])
def test_streams_of_different_length_do_not_go_in_step(left, right, monkeypatch):
    monkeypatch.setattr(streams, "FEATHER_ROWS", 4)

    with pytest.raises(ValueError, match=r"shorter|longer|length"):  # Arrow's own error is a ValueError, too
        list(in_step(batches_of(left, []), batches_of(right, [])))


@given(st.lists(st.integers()))
def test_what_is_made_in_the_background_keeps_its_order(items):
    assert list(in_background(items)) == items


def test_the_producer_runs_in_another_thread_and_at_most_three_items_ahead():
    made = []

    def produce():
        for number in range(20):
            made.append((number, threading.current_thread()))
            yield number

    lead = 0
    for consumed, number in enumerate(in_background(produce())):
        assert consumed == number
        time.sleep(0.002)
        lead = max(lead, len(made) - consumed)

    assert {thread for _, thread in made}.isdisjoint({threading.current_thread()})
    assert 2 <= lead <= 5, "two wait, one is being put, one is being made"


@pytest.mark.parametrize("error", [ValueError("damaged"), KeyboardInterrupt(), MemoryError()])
def test_an_error_of_the_producer_is_raised_in_the_consumer_after_the_items_before_it(error):
    def produce():
        yield 1
        yield 2
        raise error

    items = in_background(produce())

    assert next(items) == 1
    assert next(items) == 2
    with pytest.raises(type(error)) as caught:
        next(items)
    assert caught.value is error
    assert not producers()


def test_stopping_early_ends_the_producer():
    made = []

    def produce():
        number = 0
        while True:
            made.append(number)
            yield number
            number += 1

    items = in_background(produce())
    assert next(items) == 0
    items.close()

    assert not producers()
    count = len(made)
    assert count < 10
    time.sleep(0.02)
    assert len(made) == count


def test_an_error_of_the_consumer_ends_the_producer():
    def consume():
        for number in in_background(range(1_000_000)):
            if number == 3:
                raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        consume()
    # The exception's traceback held the generator; without it the generator is closed.
    assert not producers()


def test_nothing_is_made_before_the_first_item_is_wanted():
    in_background(iter(()))

    assert not producers()


def producers():
    return [thread for thread in threading.enumerate() if thread.name == "producer"]


PREFIX: ContextVar[str] = ContextVar("PREFIX", default="none")


def test_the_producer_sees_the_context_of_its_consumer():
    token = PREFIX.set("inputs.synapses")
    try:
        found = list(in_background(PREFIX.get() for _ in range(2)))
    finally:
        PREFIX.reset(token)

    assert found == ["inputs.synapses", "inputs.synapses"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("feather")


@given(rows=st.integers(0, 60), cuts=CUTS, others=CUTS)
@example(rows=0, cuts=[], others=[0])
@example(rows=17, cuts=[], others=[1])
def test_equal_rows_give_equal_bytes_however_the_stream_was_cut(folder, rows, cuts, others):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(streams, "FEATHER_ROWS", 16)
        counts = []
        for name, cut in (("a", cuts), ("b", others)):
            batches = batches_of(rows, cut)
            counts.append(write_feather(folder / name, batches[0].schema, batches))

    assert counts == [rows, rows]
    assert feather.read_table(folder / "a") == pa.Table.from_batches(batches_of(rows, []))
    assert (folder / "a").read_bytes() == (folder / "b").read_bytes()


def test_a_feather_file_is_compressed_and_cut_to_size(folder, monkeypatch):
    monkeypatch.setattr(streams, "FEATHER_ROWS", 16)
    batches = batches_of(40, [1, 2, 3])
    with FeatherWriter(folder / "c", batches[0].schema) as writer:
        for batch in batches:
            writer.write(batch)

    assert writer.rows == 40
    with pa.ipc.open_file(folder / "c") as file:
        assert [file.get_batch(i).num_rows for i in range(file.num_record_batches)] == [16, 16, 8]


def test_an_error_while_writing_closes_the_file_without_ending_it(folder):
    def write():
        batch = batches_of(4, [])[0]
        with FeatherWriter(folder / "d", batch.schema) as writer:
            writer.write(batch)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write()
    with pytest.raises(pa.ArrowInvalid):
        pa.ipc.open_file(folder / "d")


@given(rows=st.integers(0, 60), cuts=CUTS)
def test_parquet_holds_the_rows_in_order(folder, rows, cuts):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(streams, "PARQUET_ROWS", 16)
        batches = batches_of(rows, cuts)
        assert write_parquet(folder / "e", batches[0].schema, batches) == rows

    file = pq.ParquetFile(folder / "e")
    assert file.read() == pa.Table.from_batches(batches)
    sizes = [file.metadata.row_group(i).num_rows for i in range(file.metadata.num_row_groups)]
    assert sizes == [16] * (rows // 16) + ([rows % 16] if rows % 16 else [])


def test_parquet_has_dictionaries_for_text_only(folder):
    batch = pa.record_batch({"id": [1, 1, 1], "kind": pa.array(["a", "a", "b"]).dictionary_encode(), "text": ["x"] * 3})
    write_parquet(folder / "f", batch.schema, [batch])

    group = pq.ParquetFile(folder / "f").metadata.row_group(0)
    assert [group.column(i).has_dictionary_page for i in range(3)] == [False, True, True]


def test_a_missing_confidence_is_still_nan_when_duckdb_reads_the_file(tmp_path):
    schema = pa.schema([("conf", pa.float32())])
    batch = pa.record_batch([pa.array([0.5, float("nan"), 0.75], pa.float32())], schema=schema)
    write_parquet(tmp_path / "x.parquet", schema, [batch])
    counted = "count(*) FILTER (WHERE isnan(conf)), count(*) FILTER (WHERE conf >= 0.6 AND NOT isnan(conf))"
    with duckdb.connect() as connection:
        assert connection.sql(f"SELECT {counted} FROM '{tmp_path}/x.parquet'").fetchall() == [(1, 1)]
