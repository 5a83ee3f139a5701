"""Many readings as the few numbers that are quoted: percentiles of latencies, the median of repeats with its spread."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

MILLISECONDS = 1e3
# Percentiles, with the least number of answers from which each is given: of five, the 99th is the slowest one.
LEAST_ANSWERS = {50: 1, 90: 10, 99: 20}


@dataclass(frozen=True, slots=True)
class Spread:
    """Of one figure over the repeats."""

    median: float
    lowest: float
    highest: float


def spread_of(values: Sequence[float]) -> Spread:
    """Raises `ValueError` where there is no value."""
    if not values:
        raise ValueError("no value to take a median of")
    return Spread(statistics.median(values), min(values), max(values))


def percentile(values: Sequence[float], percent: float) -> float:
    """Interpolated linearly between the two nearest values, as NumPy's default and R's type 7."""
    return float(np.percentile(np.asarray(values, dtype=np.float64), percent))


def latency_figures(latencies: Sequence[float]) -> dict[str, float]:
    """Seconds as figures in milliseconds, `latency_p50_ms` and so on, as far as there are `LEAST_ANSWERS`."""
    return {
        f"latency_p{percent}_ms": MILLISECONDS * percentile(latencies, percent)
        for percent, least in LEAST_ANSWERS.items()
        if len(latencies) >= least
    }
