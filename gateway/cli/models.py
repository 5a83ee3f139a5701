"""`gateway models`: what models are known here, getting their files, proving them, and writing their Triton config."""

from __future__ import annotations

from typing import Annotated

import typer

from gateway.artifacts.building import built_content
from gateway.cards.registry import Registry
from gateway.cards.rendering import stale_files, write_rendered
from gateway.cli.model_add import add
from gateway.cli.model_list import list_models
from gateway.cli.model_pull import pull_models
from gateway.cli.model_verify import verify_models
from gateway.cli.named_models import NamesArgument, RepositoryOption, cards_named, chosen_cards
from gateway.cli.torch_presence import refuse_what_cannot_run
from gateway.settings import load_settings


def build_models_command() -> typer.Typer:
    command = typer.Typer(
        name="models", help="Known models: list, add, pull, verify, render.", no_args_is_help=True, add_completion=False
    )
    command.command("list")(list_models)
    command.command("add")(add)
    command.command("pull")(pull_models)
    command.command("verify")(verify_models)
    command.command("resolve")(resolve)
    command.command("render")(render_models)
    command.command("build-graph")(build_graph)
    return command


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


def build_graph(name: str, model_repository: RepositoryOption = None) -> None:
    """Print the size and sha256 of the graph that is built for a model, as its card has to state them."""
    settings = load_settings(model_repository=model_repository)
    for card in cards_named(Registry.from_repository(settings.model_repository), name):
        content = built_content(card)
        typer.echo(f'size_bytes = {content.size_bytes}\nsha256 = "{content.sha256}"')
