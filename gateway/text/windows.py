"""A row of tokens longer than a model's window, as windows that overlap, so that every token is seen in context."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gateway.types import Int64Array


@dataclass(frozen=True, slots=True)
class Window:
    """Tokens [start, end) go through the model together; the hidden states of [kept_from, end) are used."""

    start: int
    end: int
    kept_from: int


def windows(token_count: int, *, max_tokens: int, overlap: int) -> list[Window]:
    """Windows of `max_tokens` that step by `max_tokens - overlap` over a row of `token_count` (at least 1).

    From the second on the first `overlap` hidden states are dropped, so that every token is kept exactly once. The last
    window is as short as its tokens, and there is none that would bring no new ones. Raises `ValueError` for an overlap
    that is a whole window: it would never get on.
    """
    if not 0 <= overlap < max_tokens:
        raise ValueError(f"windows of {max_tokens} tokens cannot share {overlap}")
    found = [Window(0, min(max_tokens, token_count), 0)]
    while found[-1].end < token_count:
        start = found[-1].end - overlap
        found.append(Window(start, min(start + max_tokens, token_count), start + overlap))
    return found


def spans_within(spans: Int64Array, window: Window) -> tuple[Int64Array, Int64Array]:
    """What a window computes of `spans` (int64 [spans, 2], half-open, in tokens of the whole row).

    Gives the numbers of the spans that have kept tokens here, int64 [found], and these tokens, counted from the
    window's start, int64 [found, 2].
    """
    clipped = np.clip(spans, window.kept_from, window.end)
    numbers = np.flatnonzero(clipped[:, 0] < clipped[:, 1])
    return numbers, clipped[numbers] - window.start
