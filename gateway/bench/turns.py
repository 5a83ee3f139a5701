"""The order in which contenders take turns, so that none gains from a machine that gets warmer or busier."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


def turns(contenders: Sequence[T], *, repeat: int) -> list[T]:
    """A-B-C in even repeats and C-B-A in odd ones: over two repeats everyone has the same mean place."""
    return list(contenders) if repeat % 2 == 0 else list(reversed(contenders))
