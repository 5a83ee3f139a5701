"""What a model's scheduler may do at once, by the way in which the engine runs the model."""

from __future__ import annotations

from gateway.batching.limits import SchedulerLimits
from gateway.cards.schema import Card
from gateway.triton.engine import Engine, Instances
from gateway.types import FAST_BLOCK_TOKENS

# A request of so many tokens is one that somebody waits for: 25 ms of a core, for a small model.
_INTERACTIVE_TOKENS = 512


async def instances_of(card: Card, engine: Engine, *, calls_side_by_side: int | None) -> Instances:
    """How many of a model's calls are computed at once, and where. `calls_side_by_side` is what the embedded Triton
    computes of a graph; None of another Triton, which is asked for the model's instances.

    Raises what `Engine.instances` raises.
    """
    if calls_side_by_side is None:
        return await engine.instances(card.name)
    return Instances(calls_side_by_side if card.triton.has_graph else 1)


def limits_of(
    card: Card,
    instances: Instances,
    *,
    calls_in_flight: int | None,
    max_queued_tokens: int,
    recovery_wait_seconds: float,
    one_row_a_call: bool,
    urgent_beside_others: bool,
    short_calls_by_http: bool,
    is_fast: bool = False,
) -> SchedulerLimits:
    """A model's limits. `calls_in_flight` None: as many calls as are computed at once, and one that is ready.
    `is_fast`: the embedded Triton was told to compute the model so."""
    on_gpu = instances.on_gpu and card.triton.has_graph
    budget = card.batching.max_batch_tokens_on_gpu if on_gpu else card.batching.max_batch_tokens
    return SchedulerLimits(
        max_batch_tokens=budget,
        max_queued_tokens=max_queued_tokens,
        calls_in_flight=calls_in_flight or instances.count + 1,
        recovery_wait_seconds=recovery_wait_seconds,
        long_row_tokens=card.batching.long_row_tokens,
        one_row_a_call=one_row_a_call,
        interactive_tokens=min(budget, _INTERACTIVE_TOKENS),
        urgent_beside_others=urgent_beside_others and card.triton.has_graph,
        stops_short_calls=card.triton.takes_rows_unpadded or not short_calls_by_http,
        pads=not card.triton.takes_rows_unpadded,
        block_tokens=FAST_BLOCK_TOKENS if is_fast else 1,
    )
