"""How much may wait for a model, share a call and be under way."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass

# A call's own cost is some milliseconds, which are the fewer tokens the slower the processor: 25 beside a budget of 512
# on one machine, about 15 (an estimate) on another. A 20th had more padding there and 3 % [0, 5] fewer of 64 clients'
# queries computed than a 40th (AMD EPYC, 2 cores, 2026-11-22).
_BUDGET_PER_OVERHEAD = 40
# Rows that are sent as they are need no padding to join; what is best for them was not measured.
_BUDGET_PER_UNPADDED_OVERHEAD = 20

# No call is cut to less than this part of the budget on purpose: a tenth to a fifth of its time is then its own cost.
# So small are bulk calls while urgent ones have to wait for those before them, and at the end of a bulk.
_SMALLEST_CUTS = 4


@dataclass(frozen=True, slots=True)
class SchedulerLimits:
    """`max_batch_tokens` bounds longest row x rows of a call; `calls_in_flight` is the number of calls under way.

    Requests of up to `interactive_tokens` are interactive: their calls are urgent and have as many slots again, of
    their own; 0 for none. `urgent_beside_others` says that the engine computes urgent calls beside those under way;
    where it does not, bulk calls are fewer and smaller for a while after each interactive request.

    Of rows with more than `long_row_tokens` one call at most is under way, so that short rows always find a slot where
    there are two or more. `one_row_a_call` is for a model whose values depend on who shares the call.

    `stops_short_calls` says that the engine hears when a call that is not long is given up. Where it does not, such a
    call keeps its slot until it is answered, though nobody waits: another one would only stand in line behind it.
    `pads` says that a call's rows are sent at the length of the longest. `block_tokens` is what the engine then pads
    that to a multiple of: rows within one block of length cost the same and share calls.
    """

    max_batch_tokens: int
    max_queued_tokens: int
    calls_in_flight: int
    recovery_wait_seconds: float
    long_row_tokens: int = sys.maxsize
    one_row_a_call: bool = False
    interactive_tokens: int = 0
    urgent_beside_others: bool = False
    stops_short_calls: bool = True
    pads: bool = True
    block_tokens: int = 1

    @property
    def call_overhead_tokens(self) -> int:
        """What a call costs beside its tokens, as far as padding is accepted for one call less."""
        return self.max_batch_tokens // (_BUDGET_PER_OVERHEAD if self.pads else _BUDGET_PER_UNPADDED_OVERHEAD)

    def bulk_calls(self, *, under_pressure: bool) -> int:
        """How many calls other than urgent ones may be under way: under pressure none that only waits its turn."""
        return max(1, self.calls_in_flight - 1) if under_pressure else self.calls_in_flight

    def bulk_tokens(self, *, waiting_tokens: int, under_pressure: bool) -> int:
        """The largest longest row x rows of the next call other than urgent ones.

        Where less waits than full calls for everybody, it is the share of one of those that compute side by side: else
        one of them would have the end of a bulk to itself and the others nothing to do (guided self-scheduling,
        Polychronopoulos and Kuck 1987).
        """
        smallest = max(1, self.max_batch_tokens // _SMALLEST_CUTS)
        if under_pressure:
            return smallest
        share = math.ceil(waiting_tokens / max(1, self.calls_in_flight - 1))
        return min(self.max_batch_tokens, max(smallest, share))
