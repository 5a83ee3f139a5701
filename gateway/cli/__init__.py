"""The `gateway` command: one module a verb, and one place that words an expected error for a terminal."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from gateway.cli.commands import GATEWAY
from gateway.cli.errors import render
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
    command = GATEWAY.application()
    command.callback()(options)
    return command


def _print_version(asked: bool) -> None:
    if asked:
        # Here, because only this option needs it and a command's start is waited for: it takes as long as typer.
        from importlib.metadata import version as installed_version

        typer.echo(f"gateway {installed_version('triton-embeddings-gateway')}")
        raise typer.Exit


def options(
    _version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", is_eager=True, callback=_print_version)
    ] = False,
) -> None:
    """What may stand before a command's name."""
