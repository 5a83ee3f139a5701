"""How a card's canary text is embedded, so that those who measure its vector and those who expect it do the same."""

from __future__ import annotations

from gateway.cards.schema import Card, TaskSpec
from gateway.cards.tasks import prompt_of


def canary_task(card: Card) -> TaskSpec | None:
    """The task that the canary is embedded for: the default one where this card computes it, else the one that the
    card's own name stands for. None for a model without tasks."""
    table = card.tasks
    own = [task for task in table.tasks if task.member == card.member]
    wanted = (table.default, table.aliases.get(card.member or ""))
    named = (task for name in wanted for task in own if task.name == name)
    return next(named, next(iter(own), None))


def canary_text(card: Card) -> str:
    """The canary's text with its task's prefix before it."""
    return prompt_of(card.tasks, canary_task(card), None) + card.canary.text
