"""Which of a few content types a caller would rather have, by the `Accept` header."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from starlette.types import Scope

_NAME = b"accept"


def preferred_type(scope: Scope, offered: Sequence[str], *, otherwise: str) -> str:
    """The offered type that the header names with the highest weight, of equals the one that it names first.

    Only types that are named count: `*/*` says that anything will do, which is `otherwise`.
    """
    best, best_weight = otherwise, 0.0
    for media_type, weight in _named(scope):
        if media_type in offered and weight > best_weight:
            best, best_weight = media_type, weight
    return best


def _named(scope: Scope) -> Iterator[tuple[str, float]]:
    values = [value.decode("latin-1") for name, value in scope["headers"] if name == _NAME]
    for part in ",".join(values).split(","):
        media_type, *parameters = (word.strip().lower() for word in part.split(";"))
        yield media_type, _weight(parameters)


def _weight(parameters: Sequence[str]) -> float:
    """1 where none is given, 0 for one that is no number."""
    given = next((word[2:] for word in parameters if word.startswith("q=")), "1")
    try:
        return float(given)
    except ValueError:
        return 0.0
