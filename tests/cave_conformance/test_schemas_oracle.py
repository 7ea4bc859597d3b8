"""What the double says of schemas, and which annotations it takes, beside the real emannotationschemas."""

from __future__ import annotations

import json
from typing import Any

import pytest
import requests

from tests import schema_homes
from tests.cave_conformance.serving import arrow
from tests.cave_double import CaveDouble
from tests.cave_double.schemas import schemas

REAL_TYPES = 57
BARE_POINT = "derived_spatial_point"
"""Listed among the schema types, but nobody makes a table of a point alone."""


@pytest.fixture(scope="module")
def real():
    """What the package says."""
    return schema_homes.schemas()


@pytest.fixture(scope="module")
def cave():
    with CaveDouble() as cave:
        cave.new_datastack("minnie", "volume")
        yield cave


@pytest.fixture(scope="module")
def http(cave):
    with requests.Session() as session:
        session.trust_env = False
        session.headers["Authorization"] = f"Bearer {cave.token}"
        yield session


def test_the_shipped_schemas_are_those_of_the_package(real):
    """`python -m tests.schema_homes` mends it."""
    assert schema_homes.SHIPPED.read_text() == schema_homes.shipped_form(real)
    assert len(real["types"]) == REAL_TYPES


def test_the_double_serves_the_definitions_of_the_package(real, cave, http):
    names = http.get(f"{cave.url}/schema/api/v2/type").json()
    assert names == list(real["types"])
    served = {name: http.get(f"{cave.url}/schema/api/v2/type/{name}").json() for name in names}
    assert served == {name: entry["definition"] for name, entry in real["types"].items()}


def test_an_answer_has_the_flattened_columns_of_the_package_with_positions_split(real, cave, http):
    stack = cave.datastacks["minnie"]
    tables = {name: entry for name, entry in real["types"].items() if name != BARE_POINT}
    for name in tables:
        stack.volume.new_table(name, name)
    stack.freeze()
    for name, entry in tables.items():
        answer = http.post(
            f"{cave.url}/materialize/api/v3/datastack/minnie/version/1/table/{name}/query",
            json={},
            params={"arrow_format": "true"},
        )
        expected = []
        for column, kind in entry["columns"].items():
            expected += [f"{column}_{axis}" for axis in "xyz"] if kind == "point" else [column]
        assert arrow(answer).column_names == expected, name


def allowed(schema, column, value):
    """A value, or the first of those that the field allows."""
    root = schema.definition["definitions"][schema.definition["$ref"].rpartition("/")[2]]
    return root["properties"].get(column, {}).get("enum", [value])[0]


def whole(name: str) -> dict[str, Any]:
    """An annotation with a value in every field of a schema type."""
    values: dict[str, Any] = {"bigint": 7, "integer": 7, "float": 0.5, "boolean": True, "text": "word"}
    schema = schemas()[name]
    annotation = {point: {"position": [1, 2, 3]} for point in schema.points}
    for point in annotation:
        if f"{point}_dependent_chunk" in schema.columns:
            annotation[point] |= {"dependent_chunk": 7, "level": 2}
    for column, kind in schema.columns.items():
        if kind != "point" and column != "id" and not column.endswith(("_root_id", "_supervoxel_id")):
            annotation[column] = allowed(schema, column, values[kind])
    return annotation


def test_the_double_takes_and_refuses_the_annotations_that_the_package_does(real, cave, http):
    """Each schema whole, and without each of its fields."""
    cases = []
    for name in sorted(set(real["types"]) - {BARE_POINT}):
        full = whole(name)
        cases += [(name, full)]
        cases += [(name, {key: value for key, value in full.items() if key != left_out}) for left_out in full]
    expected = [not problems for problems in schema_homes.problems(cases)]
    taken = []
    volume = cave.new_volume("for_writing")
    for name, annotation in cases:
        if name not in volume.tables:
            volume.new_table(name, name)
        url = f"{cave.url}/annotation/api/v2/aligned_volume/for_writing/table/{name}/annotations"
        taken.append(http.post(url, data=json.dumps({"annotations": [annotation]})).status_code == 200)
    assert [case for case, one, other in zip(cases, taken, expected, strict=True) if one != other] == []
    assert 0 < sum(expected) < len(expected)
