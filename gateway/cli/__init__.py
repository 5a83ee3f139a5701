"""The `gateway` command: one module a verb, and one place that words an expected error for a terminal."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.metadata import version as installed_version
from typing import Annotated

import typer

from gateway.cli.bench import EPILOG, bench
from gateway.cli.doctor import doctor
from gateway.cli.errors import render
from gateway.cli.models import build_models_command
from gateway.cli.runpod import runpod
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
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )
    command.callback()(options)
    command.command()(up)
    command.command()(serve)
    command.command()(runpod)
    command.command()(doctor)
    command.command(epilog=EPILOG)(bench)
    command.add_typer(build_models_command(), name="models")
    return command


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"gateway {installed_version('triton-embeddings-gateway')}")
        raise typer.Exit


def options(
    _version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", is_eager=True, callback=_print_version)
    ] = False,
) -> None:
    """Embeddings from models you host yourself: an OpenAI-compatible gateway in front of NVIDIA Triton."""
