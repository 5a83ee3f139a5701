"""Pulling what a RunPod worker is to serve, when it starts without."""

from __future__ import annotations

from rich.console import Console

from gateway.artifacts.pulling import pull
from gateway.artifacts.sources import SourceChoice
from gateway.cards.schema import Card
from gateway.cli.download_bar import DownloadBar
from gateway.cli.fetching import fetching_of
from gateway.cli.model_pull import variant_from_settings
from gateway.settings import Settings


def pull_to_serve(card: Card, settings: Settings) -> None:
    """One model, with progress on standard error. Raises what `pull` raises."""
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    console.print(f"{card.name} is under this licence: {card.licence}", markup=False)
    with DownloadBar(console, title=f"Pulling {card.name}") as bar:
        pull(card, fetching_of(settings, SourceChoice.AUTO, bar), variant=variant_from_settings(card, settings))
    console.print(f"{card.name} is complete in {card.folder}.", markup=False)
