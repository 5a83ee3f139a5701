"""Whether everyone computed the same vectors: before anything is timed, and of answers that came under load.

A figure for other vectors says nothing, so a run in which the gateway or Triton differs from the ceiling is void. What
computes in another precision, and what others built, is judged by the cosine.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from gateway.bench.target import vectors
from gateway.bench.texts import long_texts, mixed_length, short_queries
from gateway.types import Float32Array

TOLERANCE = 1e-5
# What bfloat16 may cost; other servers in float32 have six nines.
LEAST_COSINE = 0.9999
# Of an answer under load so many texts are computed again.
CHECKED_TEXTS = 4


def probe_texts() -> list[str]:
    """Of all lengths that are measured."""
    return [*short_queries(8, seed=1), *mixed_length(20, seed=2), *long_texts(4, seed=3)]


def largest_difference(found: Float32Array, expected: Float32Array) -> float:
    """Of any value; infinite where the shapes differ or a value is no number."""
    if found.shape != expected.shape:
        return float("inf")
    difference = float(np.abs(found.astype(np.float64) - expected).max(initial=0.0))
    return difference if np.isfinite(difference) else float("inf")


def least_cosine(found: Float32Array, expected: Float32Array) -> float:
    """Of any two rows, -1 where the shapes differ or a value is no number."""
    if found.shape != expected.shape:
        return -1.0
    one, other = found.astype(np.float64), expected.astype(np.float64)
    lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        cosine = float(np.min((one * other).sum(axis=1) / lengths, initial=1.0))
    return cosine if np.isfinite(cosine) else -1.0


@dataclass(slots=True)
class Parity:
    """The largest difference to the ceiling's vectors that was seen, and the least cosine, by contender; `checked`
    counts vectors. `by_cosine` says who is judged by the cosine."""

    embed: Callable[[Sequence[str]], Float32Array]
    tolerance: float = TOLERANCE
    by_cosine: Callable[[str], bool] = lambda _name: False
    differences: dict[str, float] = field(default_factory=dict)
    cosines: dict[str, float] = field(default_factory=dict)
    checked: dict[str, int] = field(default_factory=dict)

    def compare(self, contender: str, texts: Sequence[str], found: Float32Array) -> None:
        expected = self.embed(texts)
        self._note(contender, largest_difference(found, expected), least_cosine(found, expected), len(texts))

    def compare_answer(self, contender: str, texts: Sequence[str], body: bytes) -> None:
        """Some of the vectors of an answer to `texts`, spread over the request."""
        try:
            found = vectors(body)
        except ValueError:
            self._note(contender, float("inf"), -1.0, 1)
            return
        if len(found) != len(texts):
            self._note(contender, float("inf"), -1.0, 1)
            return
        places = sorted({*np.linspace(0, len(texts) - 1, CHECKED_TEXTS).astype(int).tolist()})
        self.compare(contender, [texts[place] for place in places], found[places])

    def holds(self, contender: str) -> bool:
        if self.by_cosine(contender):
            return self.cosines.get(contender, -1.0) >= LEAST_COSINE
        return self.differences.get(contender, float("inf")) <= self.tolerance

    def _note(self, contender: str, difference: float, cosine: float, count: int) -> None:
        self.differences[contender] = max(difference, self.differences.get(contender, 0.0))
        self.cosines[contender] = min(cosine, self.cosines.get(contender, 1.0))
        self.checked[contender] = self.checked.get(contender, 0) + count
