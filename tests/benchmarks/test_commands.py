"""Every command of benchmarks/ says what it does without what it measures with, and refuses what it cannot do."""

from __future__ import annotations

import argparse
import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import gpu_v4
from benchmarks.command import at_least, exit_with, installed_embedder
from gateway.errors import ConfigurationError
from tests.support.code_blocks import ROOT

MODULES = sorted((ROOT / "benchmarks").glob("*.py"))
# Large, and not in every environment. `--help` has to do without.
ABSENT = ("torch", "transformers", "safetensors", "openvino")
# In one process, because most of the time goes into imports that they share.
HELP = """
import contextlib, io, json, runpy, sys
sys.modules.update(dict.fromkeys(json.loads(sys.argv[1])))
told = {}
for module in json.loads(sys.argv[2]):
    sys.argv = [module, "--help"]
    with contextlib.redirect_stdout(io.StringIO()) as page:
        try:
            runpy.run_module(module, run_name="__main__", alter_sys=True)
        except SystemExit as ended:
            told[module] = (ended.code, page.getvalue())
print(json.dumps(told))
"""


def is_command(path: Path) -> bool:
    return any(isinstance(node, ast.FunctionDef) and node.name == "main" for node in ast.parse(path.read_text()).body)


Pages = dict[str, tuple[int, str]]
COMMANDS = [f"benchmarks.{path.stem}" for path in MODULES if is_command(path)]


@pytest.fixture(scope="module")
def help_pages() -> Pages:
    """Exit code and page of each command with `--help`, where the large packages cannot be imported."""
    command = [sys.executable, "-c", HELP, json.dumps(ABSENT), json.dumps(COMMANDS)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100, check=False)
    assert ended.returncode == 0, ended.stderr
    found: Pages = json.loads(ended.stdout)
    return found


def test_there_are_commands() -> None:
    assert {"benchmarks.http_edge", "benchmarks.gpu_v4", "benchmarks.claims"} <= set(COMMANDS)


@pytest.mark.parametrize("module", COMMANDS)
def test_help_says_how_it_is_called_and_needs_nothing_large(
    module: str, help_pages: dict[str, tuple[int, str]]
) -> None:
    code, page = help_pages[module]
    assert code == 0
    assert f"python -m {module}" in page
    assert "options:" in page


@pytest.mark.parametrize("module", COMMANDS)
def test_every_option_is_explained(module: str) -> None:
    """In the source, because an option without `help` is a bare name on the page."""
    tree = ast.parse((ROOT / f"{module.replace('.', '/')}.py").read_text())
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    options = [call for call in calls if isinstance(call.func, ast.Attribute) and call.func.attr == "add_argument"]
    assert options
    assert [call.lineno for call in options if not any(word.arg == "help" for word in call.keywords)] == []


def test_without_torch_the_gpu_measurement_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.setattr(sys, "argv", ["gpu_v4"])
    with pytest.raises(ConfigurationError, match="This computes with torch, not installed here") as refused:
        gpu_v4.main()
    assert refused.value.remedy == "scripts/install_torch.sh"
    assert (ROOT / refused.value.remedy).is_file()


def test_a_model_that_cannot_be_measured_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="Known models"):
        installed_embedder("no-such-model")


def test_an_expected_error_ends_with_a_sentence_and_what_mends_it(capsys: pytest.CaptureFixture[str]) -> None:
    def refuse() -> int:
        raise ConfigurationError("That is not here.", remedy="put it there")

    with pytest.raises(SystemExit) as ended:
        exit_with(refuse)
    assert ended.value.code == 1
    assert capsys.readouterr() == ("", "Error: That is not here.\nRemedy: put it there\n")


def test_the_exit_code_is_what_the_command_returns() -> None:
    with pytest.raises(SystemExit) as ended:
        exit_with(lambda: 3)
    assert ended.value.code == 3


@pytest.mark.parametrize(("text", "said"), [("0", "0 is too few; 1 is the least"), ("many", "many"), ("1.5", "1.5")])
def test_a_count_of_nothing_is_refused(text: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--repeats", type=at_least(1))
    assert parser.parse_args(["--repeats", "1"]).repeats == 1
    with pytest.raises(SystemExit):
        parser.parse_args(["--repeats", text])
    assert said in capsys.readouterr().err
