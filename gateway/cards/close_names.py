"""What somebody meant who mistyped a model's name."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from gateway.cards.schema import Model

# Of a name's letters, in order: one or two that are wrong in a long name, and no other model's name altogether.
_LEAST_LIKENESS = 0.75
# Longer ones are no model's name, and comparing takes time.
_LONGEST_NAME = 200


def did_you_mean(name: str, models: Iterable[Model]) -> str:
    """`" Did you mean X?"`, with the closest of all names of `models`; empty where none is close."""
    if len(name) > _LONGEST_NAME:
        return ""
    known = {known.lower(): known for model in models for known in _names_of(model)}
    close = difflib.get_close_matches(name.lower(), known, n=1, cutoff=_LEAST_LIKENESS)
    return f" Did you mean {known[close[0]]}?" if close else ""


def _names_of(model: Model) -> Iterable[str]:
    return (*model.names, *model.shared_aliases, *(card.name for card in model.cards))
