"""Every model this installation knows, found by any of its names."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from gateway.cards.loading import CARD_FILE, load_card
from gateway.cards.schema import Card
from gateway.errors import ConfigurationError, UnknownModel


class Registry:
    """The cards, sorted by name. A name is the short name, the hub id or an alias, in any case."""

    def __init__(self, cards: Iterable[Card]) -> None:
        """Raises `ConfigurationError` when two models claim the same name."""
        self.cards: tuple[Card, ...] = tuple(sorted(cards, key=lambda card: card.name.lower()))
        self._by_name: dict[str, Card] = {}
        for card in self.cards:
            for name in names_of(card):
                other = self._by_name.setdefault(name.lower(), card)
                if other is not card:
                    raise ConfigurationError(f"The models {other.name} and {card.name} both answer to {name!r}.")

    @classmethod
    def from_repository(cls, path: Path) -> Registry:
        """The cards of every folder in a model repository; folders without a card are not ours and stay unread.

        Raises `ConfigurationError` when the folder is missing or a card is wrong.
        """
        if not path.is_dir():
            raise ConfigurationError(
                f"The model repository {path} does not exist.",
                remedy="Start in the project's folder, or set GATEWAY_MODEL_REPOSITORY to the folder of model folders.",
            )
        return cls(load_card(folder) for folder in sorted(path.iterdir()) if (folder / CARD_FILE).is_file())

    def resolve(self, name: str) -> Card:
        """The card that answers to `name`. Raises `UnknownModel` naming the models that exist."""
        card = self._by_name.get(name.lower())
        if card is None:
            known = ", ".join(card.name for card in self.cards) or "none"
            raise UnknownModel(f"The model {name[:200]!r} does not exist. Known models: {known}.")
        return card


def names_of(card: Card) -> tuple[str, ...]:
    """Every name a card answers to, the public one first; one that comes twice is given once."""
    return tuple(dict.fromkeys((card.name, card.hub_id, *card.aliases)))
