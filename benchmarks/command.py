"""What the commands of this folder share: counts of one and more, models that are installed, and refusals that are a
sentence and a remedy.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from gateway.artifacts.completeness import missing_files
from gateway.bench.model_rows import benchable_card
from gateway.cards.registry import Registry
from gateway.cards.schema import Card
from gateway.errors import ArtifactError, GatewayError

ROOT = Path(__file__).resolve().parent.parent
REPOSITORY = ROOT / "model_repository"


def at_least(least: int) -> Callable[[str], int]:
    """For `argparse`: a whole number that is no smaller."""

    def whole_number(text: str) -> int:
        number = int(text)
        if number < least:
            raise argparse.ArgumentTypeError(f"{number} is too few; {least} is the least")
        return number

    return whole_number


def installed_embedder(name: str) -> Card:
    """The card of an embedding model whose graph is here. Raises `ConfigurationError` for another kind of model, and
    `ArtifactError` where files are missing."""
    card = benchable_card(Registry.from_repository(REPOSITORY), name)
    if missing := missing_files(card):
        names = ", ".join(file.path for file in missing)
        raise ArtifactError(
            f"{card.name} is not installed whole: {names} missing.", remedy=f"gateway models pull {name}"
        )
    return card


def exit_with(main: Callable[[], int]) -> NoReturn:
    """Exits with what `main` returns, or with 1 and the sentence of an error that is expected."""
    try:
        sys.exit(main())
    except GatewayError as error:
        # Not before, because the whole command line comes with it, which takes longer than some measurements.
        from gateway.cli.errors import render

        render(error, sys.stderr)
        sys.exit(1)
