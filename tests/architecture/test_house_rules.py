"""The house's shape, held by tests: who imports whom, how long things get, what a file may be called."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MAX_MODULE_LINES = 400
MAX_FUNCTION_LINES = 40
BANNED_NAMES = {"util", "utils", "helper", "helpers", "manager", "managers", "misc", "common"}
MODULES = sorted(path for folder in ("gateway", "scripts") for path in (ROOT / folder).rglob("*.py"))


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def functions_of(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def code_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines from `def` to the end, less the docstring."""
    total = (function.end_lineno or function.lineno) - function.lineno + 1
    first = function.body[0]
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
        total -= (first.end_lineno or first.lineno) - first.lineno + 1
    return total


def test_the_import_contracts_hold() -> None:
    command = [Path(sys.executable).parent / "lint-imports", "--no-cache"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_module_is_short_and_says_why_it_exists(path: Path) -> None:
    source = path.read_text()
    assert len(source.splitlines()) <= MAX_MODULE_LINES
    if source.strip() and path.name != "__init__.py":
        assert ast.get_docstring(ast.parse(source)), "no module docstring"


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_functions_are_short(path: Path) -> None:
    found = {one.name: code_lines(one) for one in functions_of(ast.parse(path.read_text()))}
    assert {name: lines for name, lines in found.items() if lines > MAX_FUNCTION_LINES} == {}


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_no_relative_imports_and_nothing_runs_at_import(path: Path) -> None:
    tree = ast.parse(path.read_text())
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.level]
    calls = [node for node in tree.body if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)]
    assert not calls or path.name == "__main__.py", "a bare call at module level"


def test_no_drawer_for_odds_and_ends() -> None:
    names = {name_of(path) for path in MODULES if path.stem in BANNED_NAMES or path.parent.name in BANNED_NAMES}
    assert names == set()


def test_the_drawing_of_the_layers_is_the_contract() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layers = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    drawn = (ROOT / "ARCHITECTURE.md").read_text().partition("## Layers")[2].split("```")[1]
    assert drawn.split("\n")[1:-1] == layers
