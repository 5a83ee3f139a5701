"""The only path of an embedding request: model, task, tokens, batch, shorten, answer."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from gateway.caching.shared_rows import Asker
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


@dataclass(frozen=True, slots=True)
class _Computed:
    """`vectors` is float32 [inputs, size], not yet cut; without rows where there is one a token, in `token_vectors`."""

    vectors: Float32Array
    tokens: int
    truncated: int
    stages: StageSeconds
    image_tokens: int = 0
    token_vectors: tuple[Float32Array, ...] | None = None
    token_texts: tuple[tuple[str, ...], ...] | None = None


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
        dimensions = _checked_dimensions(request.dimensions, model)
        choice = model.choose_task(task=request.task, side=request.side, preferred=request.default_task)
        check_input_limit(request, model, choice)
        if not request.inputs:
            raise InvalidField("At least one input is needed.", param="input", code="empty_input")
        request = with_images_known(request, model)
        compute = self._document if request.late_chunking else self._each
        computed = await compute(request, model, choice)
        vectors = _cut(computed.vectors, dimensions, normalised=request.normalised)
        self._meter.computed(
            model.name,
            inputs=len(request.inputs),
            tokens=computed.tokens,
            tokenize_seconds=computed.stages.tokenize,
            truncated_inputs=computed.truncated,
        )
        return EmbedResult(
            model=model.name,
            vectors=vectors,
            usage=Usage(
                prompt_tokens=computed.tokens, total_tokens=computed.tokens, image_tokens=computed.image_tokens
            ),
            truncated=computed.truncated,
            warnings=_warnings(dimensions, model),
            stages=computed.stages,
            token_vectors=computed.token_vectors,
            tokens=computed.token_texts,
        )

    async def _each(self, request: EmbedRequest, model: PublicModel, choice: TaskChoice) -> _Computed:
        """Each input by itself."""
        if not request.normalised and model.card.triton.takes_rows_unpadded:
            raise _unit_length_only(model)
        spec = model.card.images
        images = numbered_images(request.inputs) if spec is not None else []
        if spec is None or not images:
            return await self._rows(request, model, choice)
        tokens = ImageTokens(request, spec, model.reader)
        tokens.check_least(len(images))
        # Held until the rows are computed, so that what a request's images take is counted as long as they are there.
        started = time.monotonic()
        async with self._images.prepared(images, spec=spec, deadline=request.deadline, admit=tokens.add) as pixels:
            seconds = time.monotonic() - started
            computed = await self._rows(request, model, choice, images=pixels)
        return replace(computed, stages=replace(computed.stages, images=seconds))

    async def _rows(
        self,
        request: EmbedRequest,
        model: PublicModel,
        choice: TaskChoice,
        *,
        images: Mapping[int, UInt8Array] | None = None,
    ) -> _Computed:
        asker = Asker(request.deadline, caller=request.caller, may_keep=request.may_keep)
        whole = request.multi_vector or images
        rows = await read_and_compute(
            request.inputs, self._reading(request, model, choice, images), asker, in_portions=not whole
        )
        outcome = rows.outcome
        vectors: Float32Array = np.empty((0, 0), dtype=np.float32)
        if not request.multi_vector:
            vectors = np.concatenate(outcome.values).reshape(len(outcome.values), -1)
        if not request.normalised:
            _refuse_lost_lengths(vectors, model)
        return _Computed(
            vectors=vectors,
            tokens=sum(row.token_count for row in rows.rows),
            truncated=sum(row.truncated for row in rows.rows),
            stages=StageSeconds(
                tokenize=rows.tokenize_seconds, queue=outcome.queue_seconds, infer=outcome.infer_seconds
            ),
            image_tokens=sum(rows.rows[number].token_count for number in images or ()),
            token_vectors=tuple(outcome.values) if request.multi_vector else None,
            token_texts=await token_texts(model.reader.tokenizer, rows.rows) if request.return_tokens else None,
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

    async def _document(self, request: EmbedRequest, model: PublicModel, choice: TaskChoice) -> _Computed:
        """All inputs as parts of one document."""
        chunks = await self._late_chunking.vectors(
            model, request.inputs, choice=choice, deadline=request.deadline, caller=request.caller
        )
        vectors = normalise(chunks.vectors) if request.normalised else chunks.vectors
        return _Computed(vectors, tokens=chunks.token_count, truncated=0, stages=chunks.stages)


def _output_of(request: EmbedRequest) -> RowOutput:
    if request.multi_vector:
        return RowOutput.TOKEN_VECTORS
    return RowOutput.VECTOR if request.normalised else RowOutput.RAW_VECTOR


def _checked_dimensions(dimensions: int | None, model: PublicModel) -> int | None:
    """The size to cut to, or None where nothing is to be cut. Raises `InvalidField` outside 1 to the native size."""
    if dimensions is None:
        return None
    native = model.card.embedding.dimensions
    if dimensions == native:
        return None
    if not 1 <= dimensions <= native:
        raise InvalidField(f"'dimensions' must be from 1 to {native} for the model {model.name}.", param="dimensions")
    return dimensions


def _cut(vectors: Float32Array, dimensions: int | None, *, normalised: bool) -> Float32Array:
    """The first `dimensions` values of each vector, at unit length again where they are to have it."""
    if dimensions is None:
        return vectors
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


def _warnings(dimensions: int | None, model: PublicModel) -> tuple[str, ...]:
    if dimensions is None:
        return ()
    matryoshka = model.card.embedding.matryoshka
    if dimensions in matryoshka:
        return ()
    sizes = ", ".join(map(str, matryoshka))
    trained = f"trained to be cut to {sizes} dimensions" if sizes else "not trained to be cut to fewer dimensions"
    return (f"{model.name} was {trained}; vectors of {dimensions} lose more quality than they need to.",)
