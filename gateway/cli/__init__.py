"""The `gateway` command: one module a verb, and one place that words an expected error for a terminal."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import typer

from gateway.cli.doctor import doctor
from gateway.cli.errors import render
from gateway.cli.models import models_app
from gateway.cli.serve import serve
from gateway.cli.up import up
from gateway.errors import GatewayError

EXIT_FAULT = 1


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command and exit: 0 done, 1 an expected error, 2 wrong usage."""
    try:
        build_command()(args=arguments, prog_name="gateway")
    except GatewayError as error:
        render(error, sys.stderr)
        sys.exit(EXIT_FAULT)


def build_command() -> typer.Typer:
    command = typer.Typer(
        help="Embeddings from models you host yourself: an OpenAI-compatible gateway in front of NVIDIA Triton.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )
    command.command()(up)
    command.command()(serve)
    command.command()(doctor)
    command.add_typer(models_app, name="models")
    return command
