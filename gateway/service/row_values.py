"""What is read for a row from which output of the graph: the card's roles decide, never an output's shape or place."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gateway.batching.call import CallResult
from gateway.cards.schema import Card, ModelKind
from gateway.cards.triton_spec import OutputRole
from gateway.errors import InvalidVector
from gateway.triton.engine import Tensor
from gateway.types import Float32Array, Int64Array, RowOutput, TokenRow
from gateway.vectors.checking import check_shape, invalid_rows
from gateway.vectors.pooling import POOLINGS, Pool
from gateway.vectors.shortening import unit_rows

Read = Callable[[Tensor, Int64Array, Sequence[TokenRow]], CallResult]
"""Makes the rows' values from an output tensor and the call's 0/1 mask [rows, tokens].

Raises `InvalidVector` for a wrong shape, which condemns the whole call: no row of it can be told apart from another.
"""

_VectorsOf = Callable[[Tensor, Int64Array], Float32Array]


@dataclass(frozen=True, slots=True)
class Reading:
    """`output` is the name of the graph output that `read` takes."""

    output: str
    read: Read


def readings_of(card: Card) -> Mapping[RowOutput, Reading]:
    """How each kind of value comes from this card's graph; a kind that it cannot give is left out."""
    if card.kind is ModelKind.RERANKER:
        logit = card.triton.output(OutputRole.LOGIT)
        return {RowOutput.LOGIT: Reading(logit.tensor.name, read_logits)} if logit is not None else {}
    size = card.embedding.dimensions
    tokens = card.triton.output(OutputRole.TOKEN_EMBEDDINGS)
    pooled = card.triton.output(OutputRole.SENTENCE_EMBEDDING)
    found = {}
    # A graph's own pooled output may be of unit length already, so vectors as long as they are come from the tokens.
    for output, best in ((RowOutput.VECTOR, pooled or tokens), (RowOutput.RAW_VECTOR, tokens or pooled)):
        if best is not None:
            vectors_of = _pooled(size) if best is pooled else _pooled_here(POOLINGS[card.embedding.pooling], size)
            found[output] = Reading(best.tensor.name, read_vectors(vectors_of, unit=output is RowOutput.VECTOR))
    if tokens is not None:
        found[RowOutput.SPAN_SUMS] = Reading(tokens.tensor.name, read_span_sums(size))
    return found


def read_logits(answer: Tensor, mask: Int64Array, _rows: Sequence[TokenRow]) -> CallResult:
    """float32 [1] a row, from an output [rows, 1]."""
    check_shape(answer, rows=len(mask), size=1)
    logits = answer.astype(np.float32)
    bad = np.flatnonzero(~np.isfinite(logits[:, 0]))
    message = "The model gave a score that is NaN or infinite for this input."
    return CallResult(list(logits), {int(row): InvalidVector(message) for row in bad})


def read_vectors(vectors_of: _VectorsOf, *, unit: bool) -> Read:
    """float32 [size] a row, of unit length or as they come."""

    def read(answer: Tensor, mask: Int64Array, _rows: Sequence[TokenRow]) -> CallResult:
        vectors = vectors_of(answer, mask)
        return unit_vectors(vectors) if unit else CallResult(list(vectors), invalid_rows(vectors))

    return read


def unit_vectors(vectors: Float32Array) -> CallResult:
    """float32 [size] a row, of unit length, from float32 [rows, size]."""
    unit, invalid = unit_rows(vectors)
    return CallResult(list(unit), invalid)


def read_span_sums(size: int) -> Read:
    """float64 [spans, size] a row, from token vectors [rows, tokens, size]; an empty span has a sum of zeros."""

    def read(answer: Tensor, mask: Int64Array, rows: Sequence[TokenRow]) -> CallResult:
        _check_token_shape(answer, mask, size)
        return finite_sums([_sums(hidden, row) for hidden, row in zip(answer, rows, strict=True)])

    return read


def finite_sums(values: Sequence[npt.NDArray[np.float64]]) -> CallResult:
    """Sums over spans, float64 [spans, size] a row, and which rows' are none."""
    message = "The model gave token vectors with NaN or infinite values for this input."
    bad = [place for place, sums in enumerate(values) if not np.isfinite(sums).all()]
    return CallResult(values, {place: InvalidVector(message) for place in bad})


def _sums(hidden: Tensor, row: TokenRow) -> npt.NDArray[np.float64]:
    if row.spans is None:
        raise ValueError("a row for sums over spans has none")
    with np.errstate(invalid="ignore"):
        return np.stack([hidden[start:end].sum(axis=0, dtype=np.float64) for start, end in row.spans.tolist()])


def _pooled(size: int) -> _VectorsOf:
    """The graph's own pooled output, [rows, size]."""

    def vectors_of(answer: Tensor, mask: Int64Array) -> Float32Array:
        check_shape(answer, rows=len(mask), size=size)
        return answer.astype(np.float32, copy=False)

    return vectors_of


def _pooled_here(pool: Pool, size: int) -> _VectorsOf:
    """Token vectors, [rows, tokens, size], pooled by the card's pooling."""

    def vectors_of(answer: Tensor, mask: Int64Array) -> Float32Array:
        _check_token_shape(answer, mask, size)
        return pool(answer, mask)

    return vectors_of


def _check_token_shape(answer: Tensor, mask: Int64Array, size: int) -> None:
    wanted = (*mask.shape, size)
    if answer.shape != wanted:
        raise InvalidVector(f"The model gave token vectors of shape {list(answer.shape)} instead of {list(wanted)}.")
