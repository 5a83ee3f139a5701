"""Zero-shot classification: which of some labels each input is most like, by their vectors."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import astuple, replace
from typing import Protocol

import numpy as np

from gateway.errors import InvalidField
from gateway.service.served_models import ServedModels
from gateway.text.tokenizer import check_unicode
from gateway.types import (
    ClassifyRequest,
    ClassifyResult,
    EmbedRequest,
    EmbedResult,
    Float64Array,
    Overflow,
    StageSeconds,
    TextInput,
    Usage,
)
from gateway.vectors.scores import softmax

LABELS_FIELD = "labels"

# The task that models have for this; the labels are embedded for it like the inputs, where a request names none.
_TASK = "classification"


class Embedder(Protocol):
    async def embed(self, request: EmbedRequest) -> EmbedResult: ...


class ClassificationService:
    """Classifies by the embedding models that are served. Implements `gateway.dialects.base.Classifier`."""

    def __init__(self, models: ServedModels, embedder: Embedder) -> None:
        self._models = models
        self._embedder = embedder

    async def classify(self, request: ClassifyRequest) -> ClassifyResult:
        """For each group a distribution over its labels per input: the softmax of the cosine similarities, at
        temperature 1.

        A label that several groups share is embedded once. Raises what `EmbeddingService.embed` raises, and
        `InvalidField` for labels that cannot be embedded.
        """
        labels = _checked_labels(request.label_groups)
        task = request.task or self._models.find(request.model, preferred=_TASK).preferred_task(_TASK)
        inputs, known = await self._embed_both(request, labels, task)
        place_of = {label: place for place, label in enumerate(labels)}
        similarities = inputs.vectors.astype(np.float64) @ known.vectors.astype(np.float64).T
        return ClassifyResult(
            model=inputs.model,
            scores=tuple(_scores(similarities, [place_of[label] for label in group]) for group in request.label_groups),
            usage=Usage(
                prompt_tokens=inputs.usage.prompt_tokens + known.usage.prompt_tokens,
                total_tokens=inputs.usage.total_tokens + known.usage.total_tokens,
                image_tokens=inputs.usage.image_tokens + known.usage.image_tokens,
            ),
            stages=_longest(inputs.stages, known.stages),
        )

    async def _embed_both(
        self, request: ClassifyRequest, labels: Sequence[str], task: str | None
    ) -> tuple[EmbedResult, EmbedResult]:
        asked = EmbedRequest(
            inputs=request.inputs,
            deadline=request.deadline,
            model=request.model,
            task=task,
            overflow=request.overflow,
            caller=request.caller,
            may_keep=request.may_keep,
        )
        texts = [TextInput(label) for label in labels]
        of_labels = replace(asked, inputs=texts, overflow=Overflow.REFUSE, texts_only=True)
        try:
            async with asyncio.TaskGroup() as group:
                inputs = group.create_task(self._embedder.embed(asked))
                known = group.create_task(self._embed_labels(of_labels))
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from None
        return inputs.result(), known.result()

    async def _embed_labels(self, request: EmbedRequest) -> EmbedResult:
        try:
            return await self._embedder.embed(request)
        except InvalidField as error:
            if error.param != "input":
                raise
            raise InvalidField(
                f"The labels cannot be embedded, counted without repetitions from 0: {error.message}",
                param=LABELS_FIELD,
                code=error.code,
            ) from None


def _checked_labels(groups: Sequence[Sequence[str]]) -> list[str]:
    """The labels of all groups, each once. Raises `InvalidField` for a group without one, or a label without text."""
    if not groups or not all(groups):
        raise InvalidField("At least one label is needed.", param=LABELS_FIELD, code="invalid_labels")
    labels = list(dict.fromkeys(label for group in groups for label in group))
    for label in labels:
        if not label or label.isspace():
            raise InvalidField("A label is empty.", param=LABELS_FIELD, code="invalid_labels")
        check_unicode(label, name="A label", param=LABELS_FIELD)
    return labels


def _scores(similarities: Float64Array, places: Sequence[int]) -> Float64Array:
    return softmax(similarities[:, places])


def _longest(one: StageSeconds, other: StageSeconds) -> StageSeconds:
    return StageSeconds(*map(max, zip(astuple(one), astuple(other), strict=True)))
