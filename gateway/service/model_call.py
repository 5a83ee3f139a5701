"""One cut of rows as one Triton call: padded tensors by the card's input names, checked unit vectors back.

The graph's own pooled output is asked for where it has one; token vectors travel only where it has not.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gateway.batching.call import CallResult
from gateway.cards.schema import INPUT_TYPES, Card, GraphInput, InputRole, OutputRole
from gateway.errors import ConfigurationError, InvalidVector
from gateway.triton.engine import Engine, InferCall, Tensor
from gateway.types import Float32Array, Int64Array
from gateway.vectors.checking import check_shape, invalid_rows
from gateway.vectors.pooling import POOLINGS
from gateway.vectors.shortening import normalise


class EmbeddingCall:
    """Computes rows of one model. Implements `gateway.batching.call.ModelCall`."""

    def __init__(self, card: Card, engine: Engine) -> None:
        """Raises `ConfigurationError` when the card names no output that holds embeddings."""
        output = card.triton.embedding_output
        if output is None:
            raise ConfigurationError(f"The card of {card.name} names no output that holds embeddings.")
        self._engine = engine
        self._model = card.name
        self._inputs = card.triton.inputs
        self._pad_id = card.tokenizer.pad_id
        self._size = card.vectors.dimensions
        self._output = output.tensor.name
        self._pool = None if output.role is OutputRole.SENTENCE_EMBEDDING else POOLINGS[card.vectors.pooling]

    async def __call__(self, rows: Sequence[Int64Array], *, timeout_seconds: float) -> CallResult:
        """Vectors are float32 [rows, size] of unit length. Raises what the engine raises."""
        ids, mask = pad(rows, pad_id=self._pad_id)
        inputs = {given.tensor.name: _tensor(given, ids, mask) for given in self._inputs}
        call = InferCall(model=self._model, inputs=inputs, outputs=(self._output,))
        outputs = await self._engine.infer(call, timeout_seconds=timeout_seconds)
        vectors = self._vectors(outputs[self._output], mask)
        invalid = invalid_rows(vectors)
        if invalid:
            vectors[list(invalid)] = 1.0  # a stand-in, so that the others can be normalised in one step
        return CallResult(normalise(vectors), invalid)

    def _vectors(self, output: Tensor, mask: Int64Array) -> Float32Array:
        if self._pool is None:
            check_shape(output, rows=len(mask), size=self._size)
            return output.astype(np.float32)
        if output.ndim != 3 or output.shape[:2] != mask.shape:
            raise InvalidVector(f"The model gave token vectors of shape {list(output.shape)} for {list(mask.shape)}.")
        pooled = self._pool(output, mask)
        check_shape(pooled, rows=len(mask), size=self._size)
        return pooled


def pad(rows: Sequence[Int64Array], *, pad_id: int) -> tuple[Int64Array, Int64Array]:
    """Rows (int64 [tokens]) as one int64 [rows, longest], padded on the right, and the 0/1 mask of the same shape."""
    lengths = np.fromiter(map(len, rows), dtype=np.int64, count=len(rows))
    mask = np.arange(lengths.max()) < lengths[:, None]
    ids = np.full(mask.shape, pad_id, dtype=np.int64)
    ids[mask] = np.concatenate(rows)
    return ids, mask.astype(np.int64)


def _tensor(given: GraphInput, ids: Int64Array, mask: Int64Array) -> Tensor:
    dtype = INPUT_TYPES[given.tensor.data_type]
    if given.role is InputRole.TOKEN_IDS:
        return ids.astype(dtype, copy=False)
    if given.role is InputRole.ATTENTION_MASK:
        return mask.astype(dtype, copy=False)
    return np.zeros(ids.shape, dtype=dtype)
