"""How the `gateway models` commands take names and a repository."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gateway.cards.registry import Registry
from gateway.cards.schema import Card
from gateway.cli.setting_help import default_of
from gateway.errors import ConfigurationError, UnknownModel

RepositoryOption = Annotated[
    Path | None,
    typer.Option(
        "--model-repository", metavar="PATH", help=f"Folder of model folders {default_of('model_repository')}"
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
NamesArgument = Annotated[
    list[str] | None, typer.Argument(metavar="NAME", help="Names of models; none for all.", show_default=False)
]


def cards_named(registry: Registry, name: str) -> tuple[Card, ...]:
    """The cards of a model, or the one that has this name itself. Raises `ConfigurationError` naming what there is."""
    try:
        return registry.cards_of(name)
    except UnknownModel as error:
        raise ConfigurationError(error.message, remedy="gateway models list") from None


def chosen_cards(registry: Registry, names: list[str] | None) -> list[Card]:
    """The cards of all models named, each once; all where none is named."""
    if not names:
        return list(registry.cards)
    return list({card.name: card for name in names for card in cards_named(registry, name)}.values())
