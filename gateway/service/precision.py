"""In which precision a model really serves, told from its canary: whatever settings wish, the vector shows it."""

from __future__ import annotations

import math

from gateway.cards.precision import why_not_fast
from gateway.cards.schema import Card
from gateway.types import FAST_MIN_COSINE, Precision

# Values of a unit vector computed in float32 differ by 1e-6 between engines and processors; in bfloat16 by up to 1e-3,
# and the largest of a canary's first eight by 2e-4 at the least (MiniLM, 30 texts).
EXACT_DIFFERENCE = 5e-5

# No value of a unit vector can be further off than the whole vector is at the smallest cosine.
FAST_TOLERANCE = math.sqrt(2 * (1 - FAST_MIN_COSINE))


class ServingPrecision:
    """One model's: `value` is what was `wished` until the first canary is seen, and what that shows from then on."""

    def __init__(self, card: Card, *, wished: Precision) -> None:
        is_fast = wished is Precision.FAST and why_not_fast(card) is None
        self.value = Precision.FAST if is_fast else Precision.EXACT
        # What the canary may be off by.
        self.tolerance = max(card.canary.tolerance, FAST_TOLERANCE) if is_fast else card.canary.tolerance

    def see(self, difference: float) -> None:
        """The canary came, and this is the largest difference of its values from those known, in float32."""
        self.value = Precision.EXACT if difference <= EXACT_DIFFERENCE else Precision.FAST
