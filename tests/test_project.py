"""Habits that no linter knows: budgets, forbidden constructs, derived files, documentation that is true."""

from __future__ import annotations

import ast
import re
import runpy
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from pyarrow import feather

from flyem_snapshot.pipeline.registry import INPUTS, OUTPUTS

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "flyem_snapshot"
MODULES = sorted(PACKAGE.rglob("*.py"))
SCRIPTS = sorted([*ROOT.glob("examples/**/*.py"), *ROOT.glob("benchmarks/**/*.py"), *ROOT.glob("docs/**/*.py")])

MAX_MODULE_LINES = 400
MAX_FUNCTION_LINES = 60
FORBIDDEN_CALLS = {"eval", "exec", "compile", "__import__"}
FORBIDDEN_MODULES = {"pickle", "cPickle", "dill", "shelve", "marshal"}


def ids(path: Path) -> str:
    return str(path.relative_to(ROOT))


def committed_files() -> list[Path]:
    """Every file that belongs to the project: what git tracks or would track."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listing = subprocess.run(command, cwd=ROOT, capture_output=True, check=False)
    if listing.returncode:  # an unpacked archive, not a clone
        return [
            path for path in ROOT.rglob("*") if path.is_file() and not path.relative_to(ROOT).parts[0].startswith(".")
        ]
    paths = [ROOT / name for name in listing.stdout.decode().split("\0") if name]
    return [path for path in paths if path.is_file()]


@pytest.mark.parametrize("path", MODULES, ids=ids)
def test_a_module_keeps_to_its_budget(path):
    lines = path.read_text().splitlines()
    assert len(lines) <= MAX_MODULE_LINES, f"{len(lines)} lines: split it by meaning"

    functions = [node for node in ast.walk(ast.parse("\n".join(lines))) if isinstance(node, ast.FunctionDef)]
    too_long = {
        f.name: f.end_lineno - f.lineno + 1 for f in functions if f.end_lineno - f.lineno + 1 > MAX_FUNCTION_LINES
    }
    assert not too_long


@pytest.mark.parametrize("path", [*MODULES, *SCRIPTS], ids=ids)
def test_a_module_says_what_it_is(path):
    assert ast.get_docstring(ast.parse(path.read_text())), "begin the module with one sentence"


@pytest.mark.parametrize("path", MODULES, ids=ids)
def test_everything_public_has_a_docstring(path):
    assert not list(undocumented(ast.parse(path.read_text())))


def undocumented(scope: ast.Module | ast.ClassDef, prefix: str = ""):
    """Dotted names of public classes, functions and methods that lack a docstring."""
    for node in scope.body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_"):
            overload = any(ast.unparse(decorator) in {"overload", "override"} for decorator in node.decorator_list)
            if not overload and not ast.get_docstring(node):
                yield prefix + node.name
            if isinstance(node, ast.ClassDef):
                yield from undocumented(node, f"{prefix}{node.name}.")


@pytest.mark.parametrize("path", [*MODULES, *SCRIPTS], ids=ids)
def test_no_module_uses_a_forbidden_construct(path):
    source = path.read_text()
    found = [f"line {node.lineno}: {what}" for node in ast.walk(ast.parse(source)) if (what := forbidden(node))]
    notes = [
        f"line {i}: a note to self"
        for i, line in enumerate(source.splitlines(), 1)
        if re.search(r"\b(TODO|FIXME|XXX)\b", line)
    ]
    assert not found + notes


def forbidden(node: ast.AST) -> str:
    """What is wrong with a node of the syntax tree; empty if nothing is."""
    match node:
        case ast.Call(func=ast.Name(id=name)) if name in FORBIDDEN_CALLS:
            return f"{name}()"
        case ast.Call(keywords=keywords) if any(k.arg == "shell" and ast.unparse(k.value) != "False" for k in keywords):
            return "a shell"
        case ast.Call(func=ast.Attribute(value=ast.Name(id="os"), attr="system" | "popen" | "chdir" as name)):
            return f"os.{name}"
        case ast.ExceptHandler(type=None):
            return "a bare except"
        case ast.ExceptHandler(type=ast.Name(id="Exception" | "BaseException" as name)) if swallows(node):
            return f"except {name}"
        case ast.Import(names=names) if any(alias.name.split(".")[0] in FORBIDDEN_MODULES for alias in names):
            return "pickled data"
        case ast.ImportFrom(module=str(name)) if name.split(".")[0] in FORBIDDEN_MODULES:
            return "pickled data"
        case ast.Global():
            return "state of a module"
    return ""


def swallows(handler: ast.ExceptHandler) -> bool:
    """Whether a handler neither raises nor hands the exception to somebody else."""
    nodes = [node for statement in handler.body for node in ast.walk(statement)]
    return not any(isinstance(n, ast.Raise) or (isinstance(n, ast.Name) and n.id == handler.name) for n in nodes)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("eval('1')", "eval()"),
        ("run('ls', shell=True)", "a shell"),
        ("import pickle", "pickled data"),
        ("from pickle import loads", "pickled data"),
        ("try: f()\nexcept: g()", "a bare except"),
        ("try: f()\nexcept Exception: g()", "except Exception"),
        ("try: f()\nexcept Exception:\n  g()\n  raise", ""),
        ("try: f()\nexcept Exception as error: g(error)", ""),
        ("try: f()\nexcept Exception as error: g()", "except Exception"),
        ("try: f()\nexcept OSError: g()", ""),
        ("os.chdir('x')", "os.chdir"),
        ("re.compile('x')", ""),
    ],
)
def test_the_search_for_forbidden_constructs_finds_them(source, expected):
    assert "".join(forbidden(node) for node in ast.walk(ast.parse(source))) == expected


def test_the_layering_contract_knows_every_stage():
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    independent = next(set(contract["modules"]) for contract in contracts if contract["type"] == "independence")
    stages = {".".join(stage.run.__module__.split(".")[:3]) for stage in (*INPUTS, *OUTPUTS)}
    assert stages <= independent


def test_generated_files_are_up_to_date():
    derived = runpy.run_path(str(ROOT / "docs" / "generate.py"))["derived_files"]()
    stale = [ids(path) for path, text in derived.items() if not path.is_file() or path.read_text() != text]
    assert not stale, "run `make docs` and commit what it writes"


@pytest.mark.parametrize("config", sorted(ROOT.glob("examples/**/config.yaml")), ids=ids)
def test_every_example_config_is_valid(config):
    command = [sys.executable, "-m", "flyem_snapshot.cli.main", "-c", str(config), "--check"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("path", committed_files(), ids=ids)
def test_no_file_names_a_place_on_somebodys_machine(path):
    if path.suffix in {".feather", ".parquet", ".png"}:
        content = path.read_bytes().decode("latin-1")
    else:
        content = path.read_text()
    found = re.findall(r"(?<![\w.{}\-])/(?:home|tmp|work|root|Users|mnt)/\w[\w./-]*", content)
    assert not found


def test_readme_commands_exist():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    readme = (ROOT / "README.md").read_text()
    commands = set(re.findall(r"\bmake ([a-z-]+)", readme))

    assert {"demo", "test"} <= commands <= targets


def test_links_between_documents_lead_somewhere():
    documents = [path for path in committed_files() if path.suffix == ".md"]
    links = [
        (path, link) for path in documents for link in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", path.read_text())
    ]
    broken = [f"{ids(path)}: {link}" for path, link in links if "://" not in link and not (path.parent / link).exists()]
    assert not broken


def test_ci_runs_the_readmes_test_command_and_nothing_else():
    script = (ROOT / ".ci" / "run").read_text()
    commands = [line for line in script.splitlines() if line and not line.startswith("#")]
    assert commands == ["set -eu", 'cd "$(dirname "$0")/.."', "exec make test"]


def test_the_conda_recipe_asks_for_what_pip_installs():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    recipe = (ROOT / "conda-recipe" / "meta.yaml").read_text()
    run = recipe.partition("  run:\n")[2].partition("  run_constrained:")[0]
    names = {name.removeprefix("python-") + bound for name, bound in re.findall(r"- ([\w.-]+) (>=[\d.]+)", run)}
    assert names == {*project["dependencies"], "python" + project["requires-python"]}


def test_the_example_stays_small():
    files = [path for path in committed_files() if (ROOT / "examples") in path.parents]
    assert sum(path.stat().st_size for path in files) <= 5_000_000


def test_the_example_is_what_its_script_makes(shared, tmp_path):
    example = ROOT / "examples" / "hemibrain-mb"
    make = [sys.executable, str(example / "make_subset.py"), str(shared / "data" / "hemibrain_mb"), str(tmp_path)]
    subprocess.run(make, check=True)
    for name in ("points", "partners", "annotations"):
        assert feather.read_table(tmp_path / f"{name}.feather").equals(feather.read_table(example / f"{name}.feather"))
