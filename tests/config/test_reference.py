from __future__ import annotations

import re

from flyem_snapshot.config.reference import settings_reference
from flyem_snapshot.config.schema import json_schema
from flyem_snapshot.config.suggest import addresses


def test_every_setting_has_a_row(model):
    text = settings_reference(model)
    rows = re.findall(r"^\| `([a-z0-9-]+)` \|", text, flags=re.MULTILINE)
    sections = re.findall(r"^## (.+)$", text, flags=re.MULTILINE)
    known = {address.rpartition(".")[2] for address in addresses(json_schema(model))}

    assert known == {*rows, *(section.rpartition(".")[2] for section in sections)} - {
        "&lt;name>",
        "replace-values[]",
        "point-annotations[]",
    }


def test_a_row_says_type_default_and_meaning(model):
    text = settings_reference(model)

    assert (
        "| `permit-body-0` | true or false | `false` | "
        "Keep synapses that lie on body 0, that is, outside of every segmented body. |\n"
    ) in text
    assert "| `zone` | one of 'brain', 'vnc' | not set | For a male CNS data set:" in text
    assert "| `synapse-points` | text | not set | Table (Feather, Parquet or CSV)" in text
    assert "| `source-column` | text | required | Column whose values are read. |" in text
    assert "| `processes` | a whole number of at least 1 | `16` | Number of CPUs to use." in text


def test_no_text_breaks_the_table(model):
    rows = [line for line in settings_reference(model).splitlines() if line.startswith("| ")]

    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {5}
    assert not [row for row in rows if re.search(r"<[a-z]", row)]
