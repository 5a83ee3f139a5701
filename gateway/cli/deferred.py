"""Commands whose modules are imported when they are asked for: all of them together take seconds, too long to wait for
`gateway --help` or for one of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperCommand
from typer.main import get_command


class DeferredCommand(TyperCommand):
    """What a list of commands shows of one. Its callback takes nothing and gives the real command, which reads the
    words that follow and runs, shows its help or refuses them."""

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        assert self.callback is not None
        return self.callback().make_context(info_name, args, parent, **extra)


@dataclass(frozen=True, slots=True)
class Command:
    """The function `function` of `module`, as a command.

    `help` is the first line of its docstring, here as well so that a list of commands imports none. `epilog` is the
    name, in that module, of what the help says last.
    """

    name: str
    module: str
    function: str
    help: str
    epilog: str | None = None

    def load(self) -> Any:
        """The real command."""
        module = import_module(self.module)
        alone = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
        epilog = None if self.epilog is None else getattr(module, self.epilog)
        alone.command(self.name, epilog=epilog)(getattr(module, self.function))
        return get_command(alone)


@dataclass(frozen=True, slots=True)
class Group:
    """A command that consists of two commands or more."""

    name: str
    help: str
    commands: tuple[Command | Group, ...]

    def load(self) -> Any:
        """The real command, which defers its own."""
        return get_command(self.application())

    def application(self) -> typer.Typer:
        application = typer.Typer(
            name=self.name,
            help=self.help,
            no_args_is_help=True,
            add_completion=False,
            pretty_exceptions_enable=False,
        )
        for command in self.commands:
            application.command(command.name, cls=DeferredCommand, help=command.help)(command.load)
        return application
