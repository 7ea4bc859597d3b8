# ruff: noqa: E501, ISC004 - whole messages stand here as they are printed
from __future__ import annotations

import errno
import os

import pytest

from flyem_snapshot.config.document import read_document
from flyem_snapshot.errors import ConfigError


@pytest.fixture
def read(tmp_path):
    def read_text(text):
        path = tmp_path / "config.yaml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return read_document(path)

    return read_text


@pytest.fixture
def complaint(read, tmp_path):
    def message(text):
        with pytest.raises(ConfigError) as caught:
            read(text)
        return str(caught.value).replace(f"{tmp_path}/", "")

    return message


def test_values_are_plain_and_each_has_a_place(read):
    document = read("a:\n  b: [x, {c: 1}]\n  d: 2.50\n")

    assert document.content == {"a": {"b": ["x", {"c": 1}], "d": 2.5}}
    assert document.locate(("a",)) == (1, 1)
    assert document.locate(("a", "b", 1, "c")) == (2, 11)
    assert document.text(("a", "d")) == "2.50"


def test_what_is_not_written_stands_where_its_nearest_section_stands(read):
    document = read("a:\n  b: {c: 1}\n")

    assert document.locate(("a", "b", "missing", "deeper")) == (2, 3)
    assert document.locate(("elsewhere",)) == (1, 1)


def test_large_integers_stay_exact(read):
    assert read("a: 9223372036854775807\nb: 18446744073709551615\n").content == {
        "a": 9223372036854775807,
        "b": 18446744073709551615,
    }


def test_whole_numbers_as_keys_are_names_and_so_are_no_and_on(read):
    assert read("1: a\nNO: b\non: c\n").content == {"1": "a", "NO": "b", "on": "c"}


def test_merged_keys_yield_to_written_ones_and_stand_where_they_are_written(read):
    document = read("base: &base {x: 1, y: {z: 2}}\nuse:\n  x: 5\n  <<: *base\nboth:\n  <<: [{x: 7}, *base]\n")

    assert document.content["use"] == {"x": 5, "y": {"z": 2}}
    assert document.content["both"] == {"x": 7, "y": {"z": 2}}
    assert document.locate(("use", "x")) == (3, 3)
    assert document.locate(("use", "y", "z")) == (1, 24)


def test_a_byte_order_mark_and_windows_line_ends_are_read(read):
    assert read(b"\xef\xbb\xbfa: 1\r\nb: 2\r\n").content == {"a": 1, "b": 2}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "",
            "config.yaml:1:1: a configuration consists of the sections inputs, outputs and job-settings, but this file is empty\n"
            "  hint: print a template to start from: flyem-snapshot -Y",
        ),
        (
            "- a\n",
            "config.yaml:1:1: a configuration consists of the sections inputs, outputs and job-settings, but this file is a list\n"
            "  hint: print a template to start from: flyem-snapshot -Y",
        ),
        (
            "inputs\n",
            "config.yaml:1:1: a configuration consists of the sections inputs, outputs and job-settings, "
            "but this file is a single value\n"
            "  hint: print a template to start from: flyem-snapshot -Y",
        ),
        (
            "a:\n\t- b\n",
            "config.yaml:2:1: not valid YAML (found character '\\t' that cannot start any token): - b\n"
            "  hint: the line is indented with a tab: use spaces",
        ),
        (
            "a: 1\n<<<<<<< HEAD\nb: 2\n=======\nb: 3\n>>>>>>> theirs\n",
            "config.yaml:2:1: a merge conflict is left in the file: <<<<<<< HEAD\n  hint: decide between the two versions",
        ),
        (
            "a: {syndir}/points\n",
            "config.yaml:1:12: not valid YAML (expected <block end>, but found '<scalar>'): a: {syndir}/points\n"
            "  hint: put text that begins with { in quotes: '{syndir}/points.feather'",
        ),
        (
            "a: b: c\n",
            "config.yaml:1:5: not valid YAML (mapping values are not allowed here): a: b: c\n"
            "  hint: put text that contains ': ' in quotes, and check the indentation",
        ),
        (
            "a: 'b\n",
            "config.yaml:1:1: not valid YAML (found unexpected end of stream): a: 'b\n  hint: a quote or bracket is not closed",
        ),
        (
            "a: 1\n---\nb: 2\n",
            "config.yaml:2:1: not valid YAML (but found another document): ---\n  hint: keep one document: remove the line ---",
        ),
        (
            "a: *b\n",
            "config.yaml:1:4: not valid YAML (found undefined alias 'b'): a: *b\n"
            "  hint: define it above with &name, or put text that begins with * in quotes",
        ),
        ("a:\n  b: 1\n  c: 2\n  b: 3\n", "config.yaml:4:3: a.b: given twice; it is also on line 2"),
        (
            "true: 1\n2024-01-01: 2\n? [x]\n: 3\n",
            "config.yaml:1:1: a key must be text, not 'true' (bool)\n  hint: put it in quotes\n"
            "config.yaml:2:1: a key must be text, not '2024-01-01' (timestamp)\n  hint: put it in quotes\n"
            "config.yaml:3:3: a key must be text, not a seq\n  hint: put it in quotes",
        ),
        (
            "a: !!python/object/apply:os.system [ls]\nb: !mine 3\n",
            "config.yaml:1:1: a: the YAML tag tag:yaml.org,2002:python/object/apply:os.system is not supported\n"
            "  hint: write a plain value\n"
            "config.yaml:2:1: b: the YAML tag !mine is not supported\n  hint: write a plain value",
        ),
        ("a: 2024-13-45\n", "config.yaml:1:1: a: '2024-13-45' cannot be read\n  hint: put it in quotes if it is text"),
        ("a: &a [1, *a]\n", "config.yaml:1:4: a.1: this alias contains itself"),
        ("a:\n  <<: 3\n", "config.yaml:2:7: a: only a mapping can be merged with <<"),
        ("a: \x01\n", "config.yaml:1:1: a character that YAML does not allow (U+0001)"),
        ("[" * 5000, "config.yaml:1:1: nested too deeply"),
        (
            b"a: 1\nb: \xe9\n",
            "config.yaml:2:4: not UTF-8 text (byte 0xE9)\n  hint: save the file as UTF-8 in your editor",
        ),
    ],
)
def test_a_text_that_is_no_configuration_is_refused_with_its_place(complaint, text, message):
    assert complaint(text) == message


def test_aliases_that_multiply_without_end_are_refused(complaint):
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 9)]

    assert complaint("\n".join(lines)) == "the aliases (*name) expand to more than 200,000 values"


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"missing\.yaml: there is no such file$"):
        read_document(tmp_path / "missing.yaml")
    with pytest.raises(ConfigError, match=r": this is a directory, not a configuration file$"):
        read_document(tmp_path)
    (tmp_path / "loop.yaml").symlink_to("loop.yaml")
    with pytest.raises(ConfigError, match=rf"loop\.yaml: cannot be read \({os.strerror(errno.ELOOP)}\)$"):
        read_document(tmp_path / "loop.yaml")


def test_a_config_error_ends_the_process_with_2(complaint, read):
    with pytest.raises(ConfigError) as caught:
        read("")
    assert caught.value.exit_code == 2
