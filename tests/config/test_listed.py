"""Sections of which the configuration holds a list."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import pytest

from flyem_snapshot.config.load import load_config
from flyem_snapshot.config.model import ListedSection, setting
from flyem_snapshot.config.reference import settings_reference
from flyem_snapshot.config.resolve import final_config_yaml, input_files, resolve, result_settings
from flyem_snapshot.config.root import config_model
from flyem_snapshot.config.template import default_yaml, verbose_yaml
from flyem_snapshot.errors import ConfigError, SettingError

JOB = "job-settings: {snapshot-tag: v1}\n"


class Page(ListedSection):
    """One page."""

    list_doc: ClassVar[str] = "Pages to write."
    list_example: ClassVar[list[dict[str, Any]]] = [{"title": "first"}]

    title: str = setting(min_length=1, doc="Title of the page.")
    width: int | None = setting(None, inherits="job-settings.processes", doc="Width of the page.")
    style: Path | None = setting(None, input_file=True, may_be_missing=True, doc="How it looks.")


MODEL = config_model([("outputs", "pages", Page)])


def load(tmp_path, text):
    path = tmp_path / "config.yaml"
    path.write_text(text + JOB)
    return load_config(path, MODEL)


@pytest.mark.parametrize("text", ["", "outputs: {pages: []}\n", "outputs:\n  pages:\n"])
def test_no_entry_is_an_empty_tuple(tmp_path, text):
    assert load(tmp_path, text).config.stage("outputs", "pages") == ()


def test_entries_are_sections_with_fallbacks_and_paths(tmp_path):
    (tmp_path / "a.css").touch()
    text = "outputs: {pages: [{title: a, style: a.css}, {title: b, width: 3, style: b.css}]}\n"
    pages = resolve(load(tmp_path, text)).stage("outputs", "pages")
    assert [(page.title, page.width, page.style) for page in pages] == [
        ("a", 16, tmp_path / "a.css"),
        ("b", 3, tmp_path / "b.css"),
    ]
    assert input_files(pages) == {"0.style": tmp_path / "a.css"}, "the other one may be missing, and is"
    assert result_settings(pages) == {"0": {"title": "a", "width": 16}, "1": {"title": "b", "width": 3}}


def test_the_final_configuration_loads_to_an_equal_one(tmp_path):
    config = resolve(load(tmp_path, "outputs: {pages: [{title: a}]}\n"))
    again = tmp_path / "final-config.yaml"
    again.write_text(final_config_yaml(config))
    assert resolve(load_config(again, MODEL)) == config


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("outputs:\n  pages:\n  - {titel: a}\n", ":3:6: outputs.pages.0.titel: unknown setting"),
        ("outputs:\n  pages:\n  - {title: a}\n  - {}\n", ":4:5: outputs.pages.1.title: is required, but missing"),
        ("outputs:\n  pages: {title: a}\n", ":2:3: outputs.pages: must be a list of sections"),
    ],
)
def test_mistakes_have_their_places(tmp_path, text, said):
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text)
    assert said in str(caught.value)


def test_what_a_stage_finds_wrong_with_an_entry_has_its_place(tmp_path):
    loaded = load(tmp_path, "outputs:\n  pages:\n  - {title: a}\n  - {title: b,\n     width: 3}\n")
    error = loaded.blame(("outputs", "pages"), SettingError((1, "width"), "too narrow"))
    assert ":5:6: outputs.pages.1.width: too narrow" in str(error)


def test_templates_show_an_example_that_is_off(tmp_path):
    assert "pages: []" in default_yaml(MODEL)
    verbose = verbose_yaml(MODEL)
    assert "# Pages to write." in verbose
    assert "title: first" in verbose
    assert "## outputs.pages[]" in settings_reference(MODEL)
