"""How much may wait for a model, share a call and be under way."""

from __future__ import annotations

import sys
from dataclasses import dataclass

# A call's own cost is about a twentieth of a full call's: on a 2-core CPU 1.4 ms or 25 tokens beside a budget of 512.
_BUDGET_PER_OVERHEAD = 20

# Where an urgent call has to wait for those before it, bulk calls are so many times smaller while there are any.
_CUTS_UNDER_PRESSURE = 4


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

    @property
    def call_overhead_tokens(self) -> int:
        """What a call costs beside its tokens."""
        return self.max_batch_tokens // _BUDGET_PER_OVERHEAD

    def bulk_calls(self, *, under_pressure: bool) -> int:
        """How many calls other than urgent ones may be under way: under pressure none that only waits its turn."""
        return max(1, self.calls_in_flight - 1) if under_pressure else self.calls_in_flight

    def bulk_tokens(self, *, under_pressure: bool) -> int:
        """The largest longest row x rows of calls other than urgent ones."""
        return max(1, self.max_batch_tokens // _CUTS_UNDER_PRESSURE) if under_pressure else self.max_batch_tokens
