"""The only path of an embedding request: model, tokens, batch, shorten, answer."""

from __future__ import annotations

import asyncio
import time

from gateway.cards.schema import Card
from gateway.errors import DeadlineExceeded, InvalidField
from gateway.service.served_models import ServedModels
from gateway.telemetry.metrics import Metrics
from gateway.types import EmbedRequest, EmbedResult, StageSeconds, Usage
from gateway.vectors.shortening import shorten


class EmbeddingService:
    """Answers embedding requests with the models that are served."""

    def __init__(self, models: ServedModels, *, metrics: Metrics) -> None:
        self._models = models
        self._metrics = metrics

    async def embed(self, request: EmbedRequest) -> EmbedResult:
        """One unit vector per input, in input order.

        Raises the errors of `gateway.errors`: `InvalidRequest` for what the caller can mend, `NotServing`,
        `DeadlineExceeded` and `InferenceFailed` for the rest. Cancelling it drops the rows that have not been sent.
        """
        model = self._models.find(request.model)
        dimensions = _checked_dimensions(request.dimensions, model.card)
        started = time.monotonic()
        if started >= request.deadline:
            raise _too_late()
        if not request.inputs:
            raise InvalidField("At least one input is needed.", param="input", code="empty_input")
        try:
            async with asyncio.timeout(request.deadline - started):
                rows = await model.reader.rows(request.inputs, overflow=request.overflow)
        except TimeoutError:
            raise _too_late() from None
        tokenized = time.monotonic()
        outcome = await model.scheduler.submit(rows, deadline=request.deadline)
        vectors = outcome.vectors if dimensions is None else shorten(outcome.vectors, dimensions)
        tokens = sum(row.token_count for row in rows)
        truncated = sum(row.truncated for row in rows)
        self._record(model.card.name, inputs=len(rows), tokens=tokens, truncated=truncated, seconds=tokenized - started)
        return EmbedResult(
            model=model.card.name,
            vectors=vectors,
            usage=Usage(prompt_tokens=tokens, total_tokens=tokens),
            truncated=truncated,
            warnings=_warnings(dimensions, model.card),
            stages=StageSeconds(tokenize=tokenized - started, queue=outcome.queue_seconds, infer=outcome.infer_seconds),
        )

    def _record(self, model: str, *, inputs: int, tokens: int, truncated: int, seconds: float) -> None:
        self._metrics.tokenize_seconds.labels(model).observe(seconds)
        self._metrics.inputs.labels(model).inc(inputs)
        self._metrics.input_tokens.labels(model).inc(tokens)
        if truncated:
            self._metrics.truncated_inputs.labels(model).inc(truncated)


def _too_late() -> DeadlineExceeded:
    return DeadlineExceeded("The request took longer than it may.")


def _checked_dimensions(dimensions: int | None, card: Card) -> int | None:
    """The size to cut to, or None where nothing is to be cut. Raises `InvalidField` outside 1 to the native size."""
    native = card.vectors.dimensions
    if dimensions is None or dimensions == native:
        return None
    if not 1 <= dimensions <= native:
        raise InvalidField(f"'dimensions' must be from 1 to {native} for the model {card.name}.", param="dimensions")
    return dimensions


def _warnings(dimensions: int | None, card: Card) -> tuple[str, ...]:
    if dimensions is None or dimensions in card.vectors.matryoshka:
        return ()
    sizes = ", ".join(map(str, card.vectors.matryoshka))
    trained = f"trained to be cut to {sizes} dimensions" if sizes else "not trained to be cut to fewer dimensions"
    return (f"{card.name} was {trained}; vectors of {dimensions} lose more quality than they need to.",)
