from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from pydantic import ValidationError

from flyem_snapshot.config.model import Section, Traits, setting, traits_of


class Inner(Section):
    """An inner section."""

    number_of_things: int = setting(3, ge=1, doc="How many.")


class Outer(Section):
    """An outer section."""

    inner: Inner = Inner()
    words: tuple[str, ...] = setting((), doc="Some words.")
    names: Mapping[str, str] = setting({"a": "b"}, doc="Some names.")
    table: Path | None = setting(None, input_file=True, doc="A file.")
    text: str = setting("x", doc="A text.")
    limit: int | None = setting(None, inherits="job-settings.processes", doc="A limit.")


def test_keys_are_in_kebab_case_and_code_may_use_pythons_names():
    assert Inner.model_validate({"number-of-things": 5}) == Inner(number_of_things=5)


def test_unknown_keys_are_refused():
    with pytest.raises(ValidationError):
        Inner.model_validate({"number": 5})


def test_a_section_cannot_be_changed():
    with pytest.raises(ValidationError):
        Inner().number_of_things = 4


def test_empty_text_means_not_set_where_a_setting_may_be_unset():
    outer = Outer.model_validate({"table": "", "limit": "", "text": ""})

    assert (outer.table, outer.limit, outer.text) == (None, None, "")


def test_a_key_without_content_is_an_empty_section_or_the_default_list():
    assert Outer.model_validate({"inner": None, "words": None, "names": None}) == Outer()
    assert Outer.model_validate(None) == Outer()


def test_nothing_is_no_value_for_a_setting_that_must_have_one():
    with pytest.raises(ValidationError):
        Outer.model_validate({"text": None})


def test_a_number_must_be_finite():
    class Share(Section):
        share: float = setting(0.5, doc="A share.")

    with pytest.raises(ValidationError):
        Share(share=float("nan"))


def test_a_description_is_one_line_whatever_its_layout_in_the_code():
    class Talkative(Section):
        a: int = setting(
            1,
            doc="""One line,
            and another.""",
        )

    assert Talkative.model_fields["a"].description == "One line, and another."


def test_the_traits_of_a_setting_stay_with_it():
    assert traits_of(Outer.model_fields["table"]) == Traits(input_file=True)
    assert traits_of(Outer.model_fields["limit"]).fallback == "the value of job-settings.processes"
    assert Traits(inherits="inputs.rois.roi-sets.*").fallback == "all of inputs.rois.roi-sets"
    assert traits_of(Outer.model_fields["inner"]) == Traits()


def test_importing_the_configuration_loads_no_data_library():
    code = """
import pkgutil, sys, importlib, flyem_snapshot.config as package
for module in pkgutil.iter_modules(package.__path__):
    importlib.import_module(f"flyem_snapshot.config.{module.name}")
print(sorted({"pandas", "duckdb", "pyarrow", "plotly", "numpy"} & set(sys.modules)))
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
