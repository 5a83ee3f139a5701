"""`gateway models resolve`: which folders a name stands for, for scripts that copy or mount them."""

from __future__ import annotations

from typing import Annotated

import typer

from gateway.cards.registry import Registry
from gateway.cli.named_models import RepositoryOption, chosen_cards
from gateway.cli.torch_presence import refuse_what_cannot_run
from gateway.settings import load_settings


def resolve(
    names: Annotated[list[str], typer.Argument(metavar="NAME", help="Any names of models.")],
    to_serve: Annotated[bool, typer.Option("--to-serve", help="Refuse a model that cannot run here.")] = False,
    model_repository: RepositoryOption = None,
) -> None:
    """Print the folders of the model repository that named models consist of; exit code 1 for a name that is none."""
    registry = Registry.from_repository(load_settings(model_repository=model_repository).model_repository)
    cards = chosen_cards(registry, names)
    for card in cards if to_serve else ():
        refuse_what_cannot_run(card)
    # A family's card is in a folder of its own.
    for folder in dict.fromkeys(folder for card in cards for folder in (card.family or card.name, card.name)):
        typer.echo(folder)
