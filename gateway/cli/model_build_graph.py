"""`gateway models build-graph`: what a card has to state of a graph that is built here."""

from __future__ import annotations

import typer

from gateway.artifacts.building import built_content
from gateway.cards.registry import Registry
from gateway.cli.named_models import RepositoryOption, cards_named
from gateway.settings import load_settings


def build_graph(name: str, model_repository: RepositoryOption = None) -> None:
    """Print the size and sha256 of the graph that is built for a model, as its card has to state them."""
    settings = load_settings(model_repository=model_repository)
    for card in cards_named(Registry.from_repository(settings.model_repository), name):
        content = built_content(card)
        typer.echo(f'size_bytes = {content.size_bytes}\nsha256 = "{content.sha256}"')
