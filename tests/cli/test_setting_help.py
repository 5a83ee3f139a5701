"""The help says what holds where an option is not given, in words that people type."""

from __future__ import annotations

import re

import pytest
from typer.testing import CliRunner

from gateway.cli import build_command
from gateway.cli.setting_help import default_of


def help_of(*command: str) -> str:
    """A command's help, with the frame left out."""
    shown = CliRunner().invoke(build_command(), [*command, "--help"], env={"COLUMNS": "300"}).stdout
    return " ".join(re.sub("[│╭╮╰╯─]", " ", shown).split())


def test_a_setting_is_named_with_what_it_is_without_being_set() -> None:
    assert default_of("triton_grpc_port") == "(default: GATEWAY_TRITON_GRPC_PORT, else 8001)"


@pytest.mark.parametrize(
    ("command", "told"),
    [
        (("up",), "--port PORT [1<=x<=65535] Port of the gateway (default: GATEWAY_PORT, else 8000)"),
        (("up",), "--model NAME Serve this model only; may be repeated. Also GATEWAY_MODELS"),
        (
            ("serve",),
            "gRPC endpoint (default: GATEWAY_TRITON_URL, else 127.0.0.1:8001)",
        ),
        (("models", "add"), "(default: main)"),
        (("models", "add"), "--max-tokens TOKENS [x>=1] The window (default: what the repository says)"),
        (("models", "pull"), "(default: GATEWAY_VARIANT, else the installed one)"),
        (("models", "verify"), "(default: the running one, if any)"),
        (("models", "list"), "(default: GATEWAY_MODEL_REPOSITORY, else model_repository)"),
    ],
)
def test_the_help_tells_defaults(command: tuple[str, ...], told: str) -> None:
    assert told in help_of(*command)


@pytest.mark.parametrize("command", [("up",), ("serve",), ("models", "add")])
def test_no_option_is_explained_by_its_type(command: tuple[str, ...]) -> None:
    assert not re.search("<(int|str|path|list)", help_of(*command).replace("REPO <str>", ""))
