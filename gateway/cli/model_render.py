"""`gateway models render`: a model's Triton configuration, written from its card."""

from __future__ import annotations

from typing import Annotated

import typer

from gateway.cards.registry import Registry
from gateway.cards.rendering import stale_files, write_rendered
from gateway.cli.named_models import NamesArgument, RepositoryOption, chosen_cards
from gateway.settings import load_settings


def render_models(
    names: NamesArgument = None,
    check: Annotated[bool, typer.Option("--check", help="Write nothing; exit code 1 if a file differs.")] = False,
    model_repository: RepositoryOption = None,
) -> None:
    """Write config.pbtxt, and model.py for models of the Python backend, from card.toml."""
    settings = load_settings(model_repository=model_repository)
    cards = chosen_cards(Registry.from_repository(settings.model_repository), names)
    stale = [path for card in cards for path in (stale_files(card) if check else write_rendered(card))]
    for path in stale:
        typer.echo(f"{path} {'differs from the card' if check else 'written'}.")
    if check and stale:
        raise typer.Exit(1)
