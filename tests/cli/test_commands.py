"""The table of commands says what the commands say of themselves, and listing them imports none."""

from __future__ import annotations

import inspect
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module

import pytest
from typer.testing import CliRunner

from gateway.cli import build_command
from gateway.cli.commands import GATEWAY, MODELS
from gateway.cli.deferred import Command, Group

# What a list of commands has no use for: frameworks, settings, what computes and what speaks to a server. Not pydantic:
# typer itself reads words with it.
HEAVY = (
    "fastapi",
    "pydantic_settings",
    "numpy",
    "grpc",
    "httpx",
    "huggingface_hub",
    "onnxruntime",
    "structlog",
    "asyncio",
)
IMPORTED = "print(*sorted(sys.modules), sep='\\n', file=sys.stderr)"


def commands_of(group: Group, *before: str) -> Iterator[tuple[tuple[str, ...], Command]]:
    """Each command that is no group, with the words that name it."""
    for command in group.commands:
        if isinstance(command, Group):
            yield from commands_of(command, *before, command.name)
        else:
            yield (*before, command.name), command


COMMANDS = dict(commands_of(GATEWAY))


def modules_after(*arguments: str, code: int = 0) -> set[str]:
    """What a fresh process has imported when `gateway ARGUMENTS` is done."""
    program = (
        f"import sys\nfrom gateway.cli import main\ntry:\n    main({list(arguments)!r})\nfinally:\n    {IMPORTED}\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == code, done.stderr
    return set(done.stderr.splitlines())


def imported(names: tuple[str, ...], modules: set[str]) -> list[str]:
    return [name for name in names if name in modules]


def test_the_help_lists_every_command_and_imports_none() -> None:
    shown = CliRunner().invoke(build_command(), ["--help"], env={"COLUMNS": "200"}).stdout
    listed = [words[1] for line in shown.partition("Commands")[2].splitlines() if len(words := line.split()) > 2]
    assert listed == [command.name for command in GATEWAY.commands]
    assert listed == ["up", "serve", "runpod", "doctor", "bench", "models"]
    ours = {"gateway", "gateway.errors", "gateway.cli", "gateway.cli.errors", "gateway.cli.commands"}
    modules = modules_after("--help")
    assert {name for name in modules if name.partition(".")[0] == "gateway"} == {*ours, "gateway.cli.deferred"}
    assert imported(HEAVY, modules) == []


@pytest.mark.parametrize("arguments", [("models", "--help"), ("--version",)], ids=" ".join)
def test_what_is_no_command_of_its_own_imports_none(arguments: tuple[str, ...]) -> None:
    modules = modules_after(*arguments)
    assert imported((*HEAVY, *(command.module for command in COMMANDS.values())), modules) == []


def test_a_wrong_name_imports_no_command() -> None:
    modules = modules_after("serv", code=2)
    assert imported((*HEAVY, *(command.module for command in COMMANDS.values())), modules) == []


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_the_list_says_what_the_command_says(words: tuple[str, ...]) -> None:
    command = COMMANDS[words]
    docstring = inspect.getdoc(getattr(import_module(command.module), command.function))
    assert docstring is not None
    assert command.help == " ".join(docstring.partition("\n\n")[0].split())
    assert command.load().name == command.name


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_each_command_shows_its_own_help(words: tuple[str, ...]) -> None:
    shown = CliRunner().invoke(build_command(), [*words, "--help"], env={"COLUMNS": "300"}, prog_name="gateway")
    assert shown.exit_code == 0
    assert f"Usage: gateway {' '.join(words)} [OPTIONS]" in shown.stdout
    assert COMMANDS[words].help in " ".join(shown.stdout.split())


def test_the_group_of_models_is_listed_with_its_commands() -> None:
    shown = CliRunner().invoke(build_command(), ["models", "--help"], env={"COLUMNS": "200"}).stdout
    for command in MODELS.commands:
        assert f"{command.name} " in shown
        assert command.help in shown


def test_what_a_command_refuses_is_wrong_usage() -> None:
    refused = CliRunner().invoke(build_command(), ["models", "list", "--sopa"], prog_name="gateway")
    assert refused.exit_code == 2
    assert "Usage: gateway models list [OPTIONS]" in refused.output
    assert "No such option: --sopa" in refused.output


# What a command has no use for until it does what was asked, each by its own measure.
COMPUTING = ("onnx", "onnxruntime", "huggingface_hub", "gateway.artifacts.pulling")
WEB = ("fastapi", "gateway.app")


@pytest.mark.parametrize(
    ("module", "unused"),
    [
        ("gateway.cli.up", (*COMPUTING, *WEB, "gateway.bench")),
        ("gateway.cli.serve", (*COMPUTING, *WEB, "gateway.bench")),
        ("gateway.cli.runpod", (*COMPUTING, "gateway.bench")),
        ("gateway.cli.doctor", (*COMPUTING, *WEB, "gateway.bench", "grpc", "httpx", "tokenizers")),
        ("gateway.cli.bench", WEB),
        ("gateway.cli.model_list", (*COMPUTING, *WEB, "gateway.bench", "httpx")),
        ("gateway.cli.model_resolve", (*COMPUTING, *WEB, "gateway.bench", "grpc", "httpx", "tokenizers")),
        ("gateway.cli.model_render", (*COMPUTING, *WEB, "gateway.bench", "grpc", "httpx", "tokenizers")),
        ("gateway.cli.model_pull", (*WEB, "gateway.bench", "grpc", "gateway.triton.grpc_engine")),
        ("gateway.cli.model_verify", (*WEB, "gateway.bench")),
        ("gateway.app", COMPUTING),
    ],
)
def test_a_command_imports_only_what_it_needs(module: str, unused: tuple[str, ...]) -> None:
    program = f"import sys, {module}\n{IMPORTED}"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    modules = set(done.stderr.splitlines())
    assert module in modules
    assert imported(unused, modules) == []


@pytest.mark.parametrize("words", ["list --sopa", "list --help"])
def test_a_command_of_models_imports_none_beside_it(words: str) -> None:
    modules = modules_after("models", *words.split(), code=2 if "sopa" in words else 0)
    commands = tuple(command.module for command in COMMANDS.values())
    assert imported(commands, modules) == ["gateway.cli.model_list"]
