"""One cut of rows as one Triton call: padded tensors by the card's input names, checked values back.

The graph's own pooled output is asked for where it has one; token vectors travel only where they are needed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import numpy as np

from gateway.batching.call import CallResult
from gateway.cards.schema import INPUT_TYPES, Card, GraphInput, InputRole
from gateway.errors import ConfigurationError
from gateway.service.row_values import readings_of
from gateway.triton.engine import Engine, InferCall, Tensor
from gateway.types import Int64Array, RowGroup, TokenRow

# An answer of more bytes is read in a thread: pooling 1 MiB of token vectors takes some 2 ms, and 8,192 tokens are 32.
_INLINE_BYTES = 1024 * 1024


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

    async def __call__(self, rows: Sequence[TokenRow], *, timeout_seconds: float) -> CallResult:
        """Rows are of one group, and of an output that the graph gives. Raises what the engine raises, and
        `InvalidVector` for an answer of a wrong shape."""
        group = _group_of(rows)
        reading = self._readings[group.output]
        ids, mask = pad([row.ids for row in rows], pad_id=self._pad_id)
        inputs = {given.tensor.name: _tensor(given, ids, mask, group.adapter) for given in self._inputs}
        call = InferCall(model=self._model, inputs=inputs, outputs=(reading.output,))
        outputs = await self._engine.infer(call, timeout_seconds=timeout_seconds)
        answer = outputs[reading.output]
        if answer.nbytes > _INLINE_BYTES:
            return await asyncio.to_thread(reading.read, answer, mask, rows)
        return reading.read(answer, mask, rows)


def pad(rows: Sequence[Int64Array], *, pad_id: int) -> tuple[Int64Array, Int64Array]:
    """Rows (int64 [tokens]) as one int64 [rows, longest], padded on the right, and the 0/1 mask of the same shape."""
    lengths = np.fromiter(map(len, rows), dtype=np.int64, count=len(rows))
    mask = np.arange(lengths.max()) < lengths[:, None]
    ids = np.full(mask.shape, pad_id, dtype=np.int64)
    ids[mask] = np.concatenate(rows)
    return ids, mask.astype(np.int64)


def _group_of(rows: Sequence[TokenRow]) -> RowGroup:
    """The rows' one group. A graph takes one adapter a call and would use it for every row without a word."""
    group = rows[0].group
    if any(row.group is not group and row.group != group for row in rows):
        raise ValueError("the rows of a call are of several groups")
    return group


def _tensor(given: GraphInput, ids: Int64Array, mask: Int64Array, adapter: int | None) -> Tensor:
    dtype = INPUT_TYPES[given.tensor.data_type]
    match given.role:
        case InputRole.TOKEN_IDS:
            return ids.astype(dtype, copy=False)
        case InputRole.ATTENTION_MASK:
            return mask.astype(dtype, copy=False)
        case InputRole.TOKEN_TYPE_IDS:
            return np.zeros(ids.shape, dtype=dtype)
        case InputRole.POSITION_IDS:
            return np.broadcast_to(np.arange(ids.shape[1], dtype=dtype), ids.shape)
        case InputRole.ADAPTER:
            return _adapter_tensor(adapter, dtype)


def _adapter_tensor(adapter: int | None, dtype: str) -> Tensor:
    """Shape [1], which Triton makes the graph's rank 0; a graph takes -1 for its last adapter, so it is refused."""
    if adapter is None or adapter < 0:
        raise ValueError(f"the graph needs the number of an adapter and was given {adapter}")
    return np.array([adapter], dtype=dtype)
