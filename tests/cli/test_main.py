"""The command as a user types it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

import pytest
from ruamel.yaml import YAML

from flyem_snapshot import __version__

HEAVY = ("duckdb", "jsonschema", "numpy", "pandas", "pyarrow", "pydantic", "rich", "ruamel", "xxhash")


def run(*arguments, **options):
    command = [sys.executable, "-m", "flyem_snapshot.cli.main", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)


def test_help_shows_flags_examples_and_exit_codes():
    result = run("--help")

    assert result.returncode == 0
    for words in ("--config", "--plan", "--check", "--schema", "examples:", "exit codes:", "130  interrupted"):
        assert words in result.stdout


def test_help_is_quick():
    def seconds():
        start = time.perf_counter()
        run("--help")
        return time.perf_counter() - start

    assert min(seconds() for _ in range(5)) < 0.3


def test_nothing_heavy_is_imported_before_the_arguments_are_parsed():
    code = "import json, sys, flyem_snapshot.cli.main; print(json.dumps(list(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert {name.split(".")[0] for name in json.loads(result.stdout)}.isdisjoint(HEAVY)


def test_version_is_printed():
    assert run("--version").stdout == f"flyem-snapshot {__version__}\n"


def test_without_a_config_a_message_says_where_to_get_one():
    result = run()

    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == (
        "flyem-snapshot: no config file given: use -c FILE; -Y prints one to start from, --help explains\n"
    )


@pytest.mark.parametrize("flags", [("-t",), ("-d",), ("--plan",), ("--check",)])
def test_flags_that_tell_of_a_config_need_one(flags):
    assert run(*flags).returncode == 1


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (
            ("-t", "-d", "-c", "x"),
            "only one of --print-snapshot-tag, --print-output-directory can be printed at a time",
        ),
        (("-y", "-Y"), "only one of --dump-default-yaml, --dump-verbose-yaml can be printed at a time"),
        (("-c", "x", "-Y"), "--dump-verbose-yaml does not go with --config"),
        (
            ("-m", "-M"),
            "only one of --dump-neuprint-default-meta, --dump-verbose-neuprint-default-meta can be printed at a time",
        ),
        (("-c", "x", "-M"), "--dump-verbose-neuprint-default-meta does not go with --config"),
        (("-w",), "unrecognized arguments: -w"),
    ],
)
def test_flags_that_exclude_each_other_are_refused(flags, message):
    result = run(*flags)

    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.endswith(f"flyem-snapshot: error: {message}\n")


def test_a_config_that_does_not_exist_is_one_message(tmp_path):
    result = run("-c", tmp_path / "missing.yaml")

    assert result.returncode == 2
    assert result.stdout == ""
    assert "missing.yaml" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("flag", ["-y", "-Y", "-m", "-M", "--schema"])
def test_what_is_printed_may_be_cut_short_by_its_reader(flag):
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "flyem_snapshot.cli.main", flag]
    result = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writer)

    assert (result.returncode, result.stderr) == (0, "")


def test_the_schema_is_json():
    assert {"inputs", "outputs", "job-settings"} <= json.loads(run("--schema").stdout)["properties"].keys()


@pytest.mark.parametrize(
    "flags", [("-m", "--dump-neuprint-default-meta"), ("-M", "--dump-verbose-neuprint-default-meta")]
)
def test_a_meta_file_to_start_from_is_printed(flags):
    short, long = (run(flag).stdout for flag in flags)
    content = YAML(typ="safe", pure=True).load(short)

    assert short == long
    assert (content["dataset"], content["overviewOrder"], content["voxelSize"]) == ("", "clustered", [8.0, 8.0, 8.0])
    assert ("# Name of the dataset" in short) == (flags[0] == "-M")
