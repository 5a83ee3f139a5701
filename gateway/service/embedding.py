"""The only path of an embedding request: model, task, tokens, batch, shorten, answer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

import numpy as np

from gateway.batching.call import RowValue
from gateway.cards.schema import OutputRole
from gateway.errors import DeadlineExceeded, InvalidField, InvalidVector
from gateway.service.served_models import PublicModel, ServedModels
from gateway.service.task_rows import TaskRows, read_rows
from gateway.telemetry.metrics import Metrics
from gateway.types import EmbedRequest, EmbedResult, Float32Array, OwnPrefixes, RowOutput, StageSeconds, Usage
from gateway.vectors.shortening import shorten

# A graph that gives unit vectors gives them this exactly; vectors as long as they are do not come so close by chance.
_UNIT_TOLERANCE = 1e-3


class EmbeddingService:
    """Answers embedding requests with the models that are served."""

    def __init__(self, models: ServedModels, *, metrics: Metrics, own_prefixes: OwnPrefixes = OwnPrefixes.ROLE) -> None:
        self._models = models
        self._metrics = metrics
        self._own_prefixes = own_prefixes

    async def embed(self, request: EmbedRequest) -> EmbedResult:
        """One vector per input, in input order; of unit length unless the request asks otherwise.

        Raises the errors of `gateway.errors`: `InvalidRequest` for what the caller can mend, `NotServing`,
        `DeadlineExceeded` and `InferenceFailed` for the rest. Cancelling it drops the rows that have not been sent.
        """
        model = self._models.find(request.model)
        dimensions = _checked_dimensions(request.dimensions, model)
        started = time.monotonic()
        if started >= request.deadline:
            raise _too_late()
        if not request.inputs:
            raise InvalidField("At least one input is needed.", param="input", code="empty_input")
        try:
            async with asyncio.timeout(request.deadline - started):
                rows = await self._rows(request, model)
        except TimeoutError:
            raise _too_late() from None
        tokenized = time.monotonic()
        outcome = await rows.compute(deadline=request.deadline)
        vectors = _vectors(outcome.values, dimensions, model=model, normalised=request.normalised)
        tokens = rows.token_count
        truncated = sum(row.truncated for row in rows.rows)
        self._record(model.name, inputs=len(vectors), tokens=tokens, truncated=truncated, seconds=tokenized - started)
        return EmbedResult(
            model=model.name,
            vectors=vectors,
            usage=Usage(prompt_tokens=tokens, total_tokens=tokens),
            truncated=truncated,
            warnings=_warnings(dimensions, model),
            stages=StageSeconds(tokenize=tokenized - started, queue=outcome.queue_seconds, infer=outcome.infer_seconds),
        )

    async def _rows(self, request: EmbedRequest, model: PublicModel) -> TaskRows:
        return await read_rows(
            model,
            request.inputs,
            choice=model.choose_task(task=request.task, side=request.side),
            output=RowOutput.VECTOR if request.normalised else RowOutput.RAW_VECTOR,
            overflow=request.overflow,
            own_prefixes=self._own_prefixes,
        )

    def _record(self, model: str, *, inputs: int, tokens: int, truncated: int, seconds: float) -> None:
        self._metrics.tokenize_seconds.labels(model).observe(seconds)
        self._metrics.inputs.labels(model).inc(inputs)
        self._metrics.input_tokens.labels(model).inc(tokens)
        if truncated:
            self._metrics.truncated_inputs.labels(model).inc(truncated)


def _too_late() -> DeadlineExceeded:
    return DeadlineExceeded("The request took longer than it may.")


def _checked_dimensions(dimensions: int | None, model: PublicModel) -> int | None:
    """The size to cut to, or None where nothing is to be cut. Raises `InvalidField` outside 1 to the native size."""
    native = model.card.embedding.dimensions
    if dimensions is None or dimensions == native:
        return None
    if not 1 <= dimensions <= native:
        raise InvalidField(f"'dimensions' must be from 1 to {native} for the model {model.name}.", param="dimensions")
    return dimensions


def _vectors(
    values: Sequence[RowValue], dimensions: int | None, *, model: PublicModel, normalised: bool
) -> Float32Array:
    """float32 [rows, dimensions]."""
    vectors: Float32Array = np.concatenate(values).reshape(len(values), -1)
    if normalised:
        return vectors if dimensions is None else shorten(vectors, dimensions)
    if model.card.triton.output(OutputRole.TOKEN_EMBEDDINGS) is None:
        _refuse_unit(vectors, model)
    vectors = vectors[:, :dimensions]
    if not vectors.any(axis=1).all():
        raise InvalidVector("The model gave a vector of which nothing but zeros is left.")
    return vectors


def _refuse_unit(vectors: Float32Array, model: PublicModel) -> None:
    """A graph without token vectors may give unit length only; what the length was before is then lost."""
    lengths = np.linalg.norm(vectors.astype(np.float64), axis=1)
    if np.abs(lengths - 1.0).max() < _UNIT_TOLERANCE:
        raise InvalidField(
            f"The model {model.name} gives vectors of length 1 only. Please leave out 'normalized' or set it to true.",
            param="normalized",
        )


def _warnings(dimensions: int | None, model: PublicModel) -> tuple[str, ...]:
    matryoshka = model.card.embedding.matryoshka
    if dimensions is None or dimensions in matryoshka:
        return ()
    sizes = ", ".join(map(str, matryoshka))
    trained = f"trained to be cut to {sizes} dimensions" if sizes else "not trained to be cut to fewer dimensions"
    return (f"{model.name} was {trained}; vectors of {dimensions} lose more quality than they need to.",)
