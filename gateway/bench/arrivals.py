"""When requests of an open loop are due: a Poisson process, as of many callers who know nothing of one another."""

from __future__ import annotations

import numpy as np

from gateway.types import Float64Array

# More would only fill memory: at a rate that needs them, a shorter time tells as much.
MAX_ARRIVALS = 50_000


def poisson_arrivals(per_second: float, *, seconds: float, seed: int) -> Float64Array:
    """Seconds since the start, float64 [arrivals], rising, all below `seconds`; at most `MAX_ARRIVALS`.

    Gaps are exponential with mean `1 / per_second`. Raises `ValueError` for a rate or a time that is not positive.
    """
    if not per_second > 0 or not seconds > 0:
        raise ValueError("a rate and a time have to be positive")
    rng = np.random.default_rng(seed)
    # So many that the last one lies behind the end: mean and eight standard deviations.
    mean = min(per_second * seconds, float(MAX_ARRIVALS))
    times = np.cumsum(rng.exponential(1 / per_second, size=int(mean + 8 * mean**0.5) + 16))
    within: Float64Array = times[times < seconds]
    return within[:MAX_ARRIVALS]
