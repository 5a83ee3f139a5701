"""One cut of rows as one call to a model that takes them unpadded: no padding there, and values back row by row.

Such a model gives finished vectors, token vectors or sums over spans, whichever is asked for, and says of each row
whether it could be computed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from gateway.batching.call import CallResult
from gateway.cards.schema import Card
from gateway.cards.triton_spec import ROW_OK, ROW_OUT_OF_MEMORY, OutputRole
from gateway.errors import ConfigurationError, DeviceOutOfMemory, GatewayError, InvalidVector
from gateway.service.model_call import INLINE_BYTES, group_of
from gateway.service.row_values import finite_sums, unit_vectors
from gateway.triton.engine import Engine, InferCall, Tensor
from gateway.triton.unpadded_tensors import unpadded_tensors
from gateway.types import RowOutput, TokenRow
from gateway.vectors.checking import check_shape
from gateway.vectors.shortening import unit_rows

_Read = Callable[[Tensor, Sequence[TokenRow]], CallResult]


@dataclass(frozen=True, slots=True)
class _Reading:
    """`output` is the name of the model's output that `read` takes."""

    output: str
    read: _Read


class UnpaddedCall:
    """Computes rows of one Triton model that takes them unpadded. Implements `gateway.batching.call.ModelCall`."""

    def __init__(self, card: Card, engine: Engine) -> None:
        """Raises `ConfigurationError` when the card names no output for vectors, or none for the rows' statuses."""
        status = card.triton.output(OutputRole.ROW_STATUS)
        self._readings = _readings_of(card)
        if status is None or RowOutput.VECTOR not in self._readings:
            raise ConfigurationError(
                f"The card of {card.name} lacks an output of role sentence_embedding or row_status, which a model that "
                "takes its rows unpadded has to have."
            )
        self._status = status.tensor.name
        self._engine = engine
        self._model = card.name
        self._inputs = card.triton.inputs

    async def __call__(self, rows: Sequence[TokenRow], *, timeout_seconds: float, urgent: bool = False) -> CallResult:
        """Rows are of one group, and of an output that the model gives. Raises what the engine raises, and
        `InvalidVector` for an answer of a wrong shape."""
        reading = self._readings[group_of(rows).output]
        inputs = unpadded_tensors(self._inputs, rows)
        wanted = (reading.output, self._status)
        call = InferCall(model=self._model, inputs=inputs, outputs=wanted, urgent=urgent, stoppable=True)
        outputs = await self._engine.infer(call, timeout_seconds=timeout_seconds)
        answer, status = outputs[reading.output], outputs[self._status]
        if answer.nbytes > INLINE_BYTES:
            return await asyncio.to_thread(_read, reading.read, answer, status, rows)
        return _read(reading.read, answer, status, rows)


def _read(read: _Read, answer: Tensor, status: Tensor, rows: Sequence[TokenRow]) -> CallResult:
    result = read(answer, rows)
    return CallResult(result.values, {**result.invalid, **_uncomputed(status, rows)})


def _readings_of(card: Card) -> Mapping[RowOutput, _Reading]:
    """How each kind of value comes from this card's model; a kind that it does not give is left out."""
    size = card.embedding.dimensions
    token_size = card.embedding.token_dimensions or size
    reads: dict[RowOutput, tuple[OutputRole, _Read]] = {
        RowOutput.VECTOR: (OutputRole.SENTENCE_EMBEDDING, _read_vectors(size)),
        RowOutput.TOKEN_VECTORS: (OutputRole.TOKEN_VECTORS, _read_token_vectors(token_size)),
        RowOutput.SPAN_SUMS: (OutputRole.SPAN_SUMS, _read_span_sums(size)),
    }
    outputs = {wanted: (card.triton.output(role), read) for wanted, (role, read) in reads.items()}
    return {wanted: _Reading(found.tensor.name, read) for wanted, (found, read) in outputs.items() if found is not None}


def _uncomputed(status: Tensor, rows: Sequence[TokenRow]) -> dict[int, GatewayError]:
    """The rows that the model could not compute, each with its own error."""
    if status.shape != (len(rows),):
        raise InvalidVector(f"The model gave row statuses of shape {list(status.shape)} instead of {[len(rows)]}.")
    return {int(place): _error_of(int(status[place]), rows[place]) for place in np.flatnonzero(status != ROW_OK)}


def _error_of(status: int, row: TokenRow) -> GatewayError:
    if status != ROW_OUT_OF_MEMORY:
        return InvalidVector("The model says that it could not compute this input, and not why.")
    less = "a shorter text" if row.pixels is None else "a smaller image"
    return DeviceOutOfMemory(
        f"This input did not fit into the memory that the model's GPU has left. Send {less}, or try again when the "
        "server has less to do. Whoever runs it can give the model more with GATEWAY_GPU_MEMORY_UTILIZATION, where "
        "nothing else needs the GPU's memory."
    )


def _read_vectors(size: int) -> _Read:
    """float32 [size] a row, of unit length, from an output [rows, size]."""

    def read(answer: Tensor, rows: Sequence[TokenRow]) -> CallResult:
        check_shape(answer, rows=len(rows), size=size)
        return unit_vectors(answer.astype(np.float32, copy=False))

    return read


def _read_token_vectors(size: int) -> _Read:
    """float32 [tokens, size] a row, each of unit length, from an output [tokens of all rows, size]."""

    def read(answer: Tensor, rows: Sequence[TokenRow]) -> CallResult:
        ends = np.cumsum([len(row.ids) for row in rows])
        check_shape(answer, rows=int(ends[-1]), size=size)
        vectors, bad = unit_rows(answer.astype(np.float32, copy=False))
        owners = np.searchsorted(ends, list(bad), side="right")
        invalid = {int(owner): error for owner, error in zip(owners, bad.values(), strict=True)}
        return CallResult(np.split(vectors, ends[:-1]), invalid)

    return read


def _read_span_sums(size: int) -> _Read:
    """float64 [spans, size] a row, from an output [spans of all rows, size]."""

    def read(answer: Tensor, rows: Sequence[TokenRow]) -> CallResult:
        if any(row.spans is None for row in rows):
            raise ValueError("a row for sums over spans has none")
        ends = np.cumsum([0 if row.spans is None else len(row.spans) for row in rows])
        check_shape(answer, rows=int(ends[-1]), size=size)
        return finite_sums(np.split(answer.astype(np.float64), ends[:-1]))

    return read
