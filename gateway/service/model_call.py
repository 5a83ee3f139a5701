"""One cut of rows as one Triton call: padded tensors by the card's input names, checked values back.

The graph's own pooled output is asked for where it has one; token vectors travel only where they are needed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from gateway.batching.call import CallResult
from gateway.cards.schema import Card
from gateway.errors import ConfigurationError
from gateway.service.row_values import readings_of
from gateway.triton.engine import Engine, InferCall
from gateway.triton.input_tensors import input_tensors, pad
from gateway.types import RowGroup, TokenRow

# An answer of more bytes is read in a thread: pooling 1 MiB of token vectors takes some 2 ms, and 8,192 tokens are 32.
INLINE_BYTES = 1024 * 1024


class TritonCall:
    """Computes rows of one Triton model. Implements `gateway.batching.call.ModelCall`."""

    def __init__(self, card: Card, engine: Engine) -> None:
        """Raises `ConfigurationError` when the card names no output for what its kind of model gives."""
        self._readings = readings_of(card)
        if not self._readings:
            raise ConfigurationError(f"The card of {card.name} names no output that holds {card.kind.value} values.")
        self._engine = engine
        self._model = card.name
        self._inputs = card.triton.inputs
        self._pad_id = card.tokenizer.pad_id

    async def __call__(self, rows: Sequence[TokenRow], *, timeout_seconds: float, urgent: bool = False) -> CallResult:
        """Rows are of one group, and of an output that the graph gives. Raises what the engine raises, and
        `InvalidVector` for an answer of a wrong shape."""
        group = group_of(rows)
        reading = self._readings[group.output]
        ids, mask = pad([row.ids for row in rows], pad_id=self._pad_id)
        inputs = input_tensors(self._inputs, ids, mask, adapter=group.adapter)
        call = InferCall(model=self._model, inputs=inputs, outputs=(reading.output,), urgent=urgent)
        outputs = await self._engine.infer(call, timeout_seconds=timeout_seconds)
        answer = outputs[reading.output]
        if answer.nbytes > INLINE_BYTES:
            return await asyncio.to_thread(reading.read, answer, mask, rows)
        return reading.read(answer, mask, rows)


def group_of(rows: Sequence[TokenRow]) -> RowGroup:
    """The rows' one group. A graph takes one adapter a call and would use it for every row without a word."""
    group = rows[0].group
    for row in rows:
        if row.group is not group and row.group != group:
            raise ValueError("the rows of a call are of several groups")
    return group
