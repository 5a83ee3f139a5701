"""The only path of an embedding request: model, task, tokens, batch, shorten, answer."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from gateway.batching.call import RowValue
from gateway.caching.shared_rows import Asker
from gateway.cards.schema import ImageSpec
from gateway.cards.tasks import TaskChoice
from gateway.cards.triton_spec import OutputRole
from gateway.errors import InvalidField, InvalidVector
from gateway.service.bulk import ReadPortion, read_and_compute
from gateway.service.image_inputs import ImageSource, ImageTokens, numbered_images, with_images_known
from gateway.service.input_limits import check_input_limit
from gateway.service.input_meter import InputMeter
from gateway.service.late_chunking import LateChunking
from gateway.service.public_model import PublicModel
from gateway.service.served_models import ServedModels
from gateway.service.task_rows import TaskRows, read_rows
from gateway.service.token_vectors import check_token_count, check_token_vectors, token_texts
from gateway.telemetry.metrics import Metrics
from gateway.text.reading import Portion
from gateway.types import (
    EmbedRequest,
    EmbedResult,
    Float32Array,
    ImageInput,
    Input,
    OwnPrefixes,
    RowOutput,
    StageSeconds,
    UInt8Array,
    Usage,
)
from gateway.vectors.shortening import normalise, shorten

# A graph that gives unit vectors gives them this exactly; vectors as long as they are do not come so close by chance.
_UNIT_TOLERANCE = 1e-3

_NO_VECTORS: Float32Array = np.empty((0, 0), dtype=np.float32)


class EmbeddingService:
    """Answers embedding requests with the models that are served."""

    def __init__(
        self,
        models: ServedModels,
        *,
        images: ImageSource,
        metrics: Metrics,
        own_prefixes: OwnPrefixes = OwnPrefixes.ROLE,
    ) -> None:
        self._models = models
        self._images = images
        self._meter = InputMeter(metrics)
        self._own_prefixes = own_prefixes
        self._late_chunking = LateChunking(own_prefixes=own_prefixes)

    async def embed(self, request: EmbedRequest) -> EmbedResult:
        """One vector per input, in input order; of unit length unless the request asks otherwise. Or, where it asks for
        them, one per token of each input.

        Raises the errors of `gateway.errors`: `InvalidRequest` for what the caller can mend, `NotServing`,
        `DeadlineExceeded` and `InferenceFailed` for the rest. Cancelling it drops the rows that have not been sent,
        and the images that are being fetched.
        """
        default_task = None if request.task or request.side else request.default_task
        model = self._models.find(request.model, task=request.task, side=request.side, preferred=default_task)
        check_token_vectors(request, model)
        dimensions = None if request.dimensions is None else _checked_dimensions(request.dimensions, model)
        choice = model.choose_task(task=request.task, side=request.side, preferred=request.default_task)
        check_input_limit(request, model, choice)
        if not request.inputs:
            raise InvalidField("At least one input is needed.", param="input", code="empty_input")
        request = with_images_known(request, model)
        compute = self._document if request.late_chunking else self._each
        result = await compute(request, model, choice)
        if dimensions is not None:
            vectors = _cut(result.vectors, dimensions, normalised=request.normalised)
            result = replace(result, vectors=vectors, warnings=_warnings(dimensions, model))
        self._meter.computed(
            model.name,
            inputs=len(request.inputs),
            tokens=result.usage.total_tokens,
            tokenize_seconds=result.stages.tokenize,
            truncated_inputs=result.truncated,
        )
        return result

    def _each(self, request: EmbedRequest, model: PublicModel, choice: TaskChoice) -> Awaitable[EmbedResult]:
        """Each input by itself, its vector not yet cut."""
        if not request.normalised and model.card.triton.takes_rows_unpadded:
            raise _unit_length_only(model)
        spec = model.card.images
        if spec is None:
            return self._rows(request, model, choice)
        images = numbered_images(request.inputs)
        if not images:
            return self._rows(request, model, choice)
        return self._with_images(request, model, choice, images=images, spec=spec)

    async def _with_images(
        self,
        request: EmbedRequest,
        model: PublicModel,
        choice: TaskChoice,
        *,
        images: Sequence[tuple[int, ImageInput]],
        spec: ImageSpec,
    ) -> EmbedResult:
        tokens = ImageTokens(request, spec, model.reader)
        tokens.check_least(len(images))
        # Held until the rows are computed, so that what a request's images take is counted as long as they are there.
        started = time.monotonic()
        async with self._images.prepared(images, spec=spec, deadline=request.deadline, admit=tokens.add) as pixels:
            seconds = time.monotonic() - started
            result = await self._rows(request, model, choice, images=pixels)
        return replace(result, stages=replace(result.stages, images=seconds))

    async def _rows(
        self,
        request: EmbedRequest,
        model: PublicModel,
        choice: TaskChoice,
        *,
        images: Mapping[int, UInt8Array] | None = None,
    ) -> EmbedResult:
        asker = Asker(request.deadline, request.caller, request.may_keep)
        whole = request.multi_vector or images
        rows = await read_and_compute(
            request.inputs, self._reading(request, model, choice, images), asker, in_portions=not whole
        )
        outcome = rows.outcome
        vectors = _NO_VECTORS if request.multi_vector else _one_a_row(outcome.values)
        if not request.normalised:
            _refuse_lost_lengths(vectors, model)
        tokens = truncated = 0
        for row in rows.rows:
            tokens += len(row.ids)
            truncated += row.truncated
        image_tokens = sum(rows.rows[number].token_count for number in images) if images else 0
        return EmbedResult(
            model.name,
            vectors,
            Usage(tokens, tokens, image_tokens),
            truncated,
            stages=StageSeconds(0.0, rows.tokenize_seconds, outcome.queue_seconds, outcome.infer_seconds),
            token_vectors=tuple(outcome.values) if request.multi_vector else None,
            tokens=await token_texts(model.reader.tokenizer, rows.rows) if request.return_tokens else None,
        )

    def _reading(
        self, request: EmbedRequest, model: PublicModel, choice: TaskChoice, images: Mapping[int, UInt8Array] | None
    ) -> ReadPortion:
        async def read(inputs: Sequence[Input], portion: Portion) -> TaskRows:
            rows = await read_rows(
                model,
                inputs,
                choice=choice,
                output=_output_of(request),
                overflow=request.overflow,
                own_prefixes=self._own_prefixes,
                max_tokens=request.max_input_tokens,
                images=images,
                portion=portion,
            )
            if request.multi_vector:
                check_token_count(sum(row.token_count for row in rows.rows), request, at_least=False)
            return rows

        return read

    async def _document(self, request: EmbedRequest, model: PublicModel, choice: TaskChoice) -> EmbedResult:
        """All inputs as parts of one document."""
        chunks = await self._late_chunking.vectors(
            model, request.inputs, choice=choice, deadline=request.deadline, caller=request.caller
        )
        vectors = normalise(chunks.vectors) if request.normalised else chunks.vectors
        return EmbedResult(model.name, vectors, Usage(chunks.token_count, chunks.token_count), stages=chunks.stages)


def _one_a_row(values: Sequence[RowValue]) -> Float32Array:
    """float32 [rows, size]; of one row a view, not to be written to: others may have the same."""
    if len(values) == 1:
        return values[0].reshape(1, -1)
    return np.concatenate(values).reshape(len(values), -1)


def _output_of(request: EmbedRequest) -> RowOutput:
    if request.multi_vector:
        return RowOutput.TOKEN_VECTORS
    return RowOutput.VECTOR if request.normalised else RowOutput.RAW_VECTOR


def _checked_dimensions(dimensions: int, model: PublicModel) -> int | None:
    """The size to cut to, or None where nothing is to be cut. Raises `InvalidField` outside 1 to the native size."""
    native = model.card.embedding.dimensions
    if dimensions == native:
        return None
    if not 1 <= dimensions <= native:
        raise InvalidField(f"'dimensions' must be from 1 to {native} for the model {model.name}.", param="dimensions")
    return dimensions


def _cut(vectors: Float32Array, dimensions: int, *, normalised: bool) -> Float32Array:
    """The first `dimensions` values of each vector, at unit length again where they are to have it."""
    if normalised:
        return shorten(vectors, dimensions)
    vectors = vectors[:, :dimensions]
    if not vectors.any(axis=1).all():
        raise InvalidVector("The model gave a vector of which nothing but zeros is left.")
    return vectors


def _refuse_lost_lengths(vectors: Float32Array, model: PublicModel) -> None:
    """A graph without token vectors may give unit length only; how long a vector was is lost then.

    Raises `InvalidField`.
    """
    if model.card.triton.output(OutputRole.TOKEN_EMBEDDINGS) is not None:
        return
    lengths = np.linalg.norm(vectors.astype(np.float64), axis=1)
    if np.abs(lengths - 1.0).max() < _UNIT_TOLERANCE:
        raise _unit_length_only(model)


def _unit_length_only(model: PublicModel) -> InvalidField:
    return InvalidField(
        f"The model {model.name} gives vectors of length 1 only. Please leave out 'normalized' or set it to true.",
        param="normalized",
    )


def _warnings(dimensions: int, model: PublicModel) -> tuple[str, ...]:
    matryoshka = model.card.embedding.matryoshka
    if dimensions in matryoshka:
        return ()
    sizes = ", ".join(map(str, matryoshka))
    trained = f"trained to be cut to {sizes} dimensions" if sizes else "not trained to be cut to fewer dimensions"
    return (f"{model.name} was {trained}; vectors of {dimensions} lose more quality than they need to.",)
