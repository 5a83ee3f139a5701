"""Composition of the service from plain values, for the app and for tests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from gateway.batching.call import ModelCall
from gateway.batching.meter import Meter
from gateway.batching.scheduler import Scheduler
from gateway.caching.meter import SharingMeter
from gateway.caching.shared_rows import SharedRows
from gateway.caching.stores import CacheOptions, Stores, kept_in
from gateway.caching.vector_cache import VectorCache, identity_of
from gateway.cards.installation import Installation, expected_canary, read_installation
from gateway.cards.registry import Registry
from gateway.cards.schema import Card, ModelKind
from gateway.errors import ConfigurationError, EngineUnavailable, UnknownModel
from gateway.images.reading import ImageLimits, ImageReader
from gateway.service.calling import call_of
from gateway.service.canary import Canary
from gateway.service.classifying import ClassificationService
from gateway.service.default_tasks import default_tasks
from gateway.service.embedding import EmbeddingService
from gateway.service.precision import ServingPrecision
from gateway.service.proof import Proof
from gateway.service.public_model import OnMissing, ServedModel
from gateway.service.readiness import ReadinessMonitor
from gateway.service.reranking import RerankingService
from gateway.service.scheduling import instances_of, limits_of
from gateway.service.segmenting import SegmentationService
from gateway.service.served_models import ServedModels
from gateway.service.tokenizing import TokenizationService
from gateway.telemetry.metrics import Metrics
from gateway.text.canary_row import canary_row
from gateway.text.image_prompt import ImagePrompt
from gateway.text.reading import InputReader, ReadingLimits
from gateway.text.tokenizer import TextTokenizer
from gateway.text.vocabularies import Cl100kBase
from gateway.triton.endpoint import grpc_address
from gateway.triton.engine import Engine
from gateway.triton.grpc_engine import connection
from gateway.triton.http_port_mistake import http_port_mistake
from gateway.types import LongDocuments, OwnPrefixes, Precision, Vocabulary


@dataclass(frozen=True, slots=True)
class ServiceOptions:
    """What `build_service` needs to know; the settings of the same names say what each means.

    `models` restricts what is served, and asks for it, of a family for any of its members; empty for all. `token_ids`
    None refuses token ids that come without a vocabulary. `caller_weights` are the shares of callers that have
    another than 1. `calls_side_by_side` is how many calls of a graph the embedded Triton computes at once, where it is
    that one: it computes urgent calls beside all others. `fast_models` are the Triton models that it was told to
    compute fast. `dtype` is what models of the Python backend were told to compute in. `images` are the settings for
    images.
    """

    triton_url: str = "127.0.0.1:8001"
    triton_http_url: str | None = None
    models: Sequence[str] = ()
    default_model: str | None = None
    default_reranker: str | None = None
    own_prefixes: OwnPrefixes = OwnPrefixes.ROLE
    rerank_long_documents: LongDocuments = LongDocuments.CHUNK
    tokenizer_path: Path | None = None
    vocabulary_folder: Path = Path("vocabularies")
    token_ids: Vocabulary | None = Vocabulary.CL100K_BASE
    strict_empty: bool = False
    default_tasks: Sequence[str] = ()
    max_model_tokens: int | None = None
    dtype: str | None = None
    images: ImageLimits = field(default_factory=ImageLimits)
    max_request_tokens: int = 300_000
    max_text_bytes: int = 256 * 1024
    max_queued_tokens: int = 2_000_000
    calls_in_flight: int | None = None
    caller_weights: Mapping[str, float] = field(default_factory=dict)
    recovery_wait_seconds: float = 10.0
    tokenizer_threads: int = 2
    canary_interval_seconds: float = 1.0
    cache: CacheOptions = field(default_factory=CacheOptions)
    calls_side_by_side: int | None = None
    fast_models: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Service:
    """The running service: what the HTTP edge talks to."""

    embedding: EmbeddingService
    reranking: RerankingService
    classification: ClassificationService
    segmentation: SegmentationService
    tokenization: TokenizationService
    models: ServedModels
    readiness: ReadinessMonitor


@asynccontextmanager
async def build_service(
    registry: Registry,
    *,
    options: ServiceOptions,
    metrics: Metrics,
    engine: Engine | None = None,
    on_missing: OnMissing = lambda _: None,
) -> AsyncIterator[Service]:
    """Runs the service inside the block. Starts whether or not Triton can be reached.

    `engine` replaces the connection to `options.triton_url` and is left open. `on_missing` is told of a card that a
    request needs and Triton has not loaded. Raises `ConfigurationError` for options that cannot be right: an unknown
    name of a model or a task, an address that is none.
    """
    asked_for = _asked_for(registry, options)
    address = grpc_address(options.triton_url)
    models = _no_models_yet(registry, options, on_missing)
    async with AsyncExitStack() as running:
        if engine is None:
            engine = connection(triton_url=options.triton_url, triton_http_url=options.triton_http_url)
            running.push_async_callback(engine.close)
        images = ImageReader(options.images, metrics=metrics)
        running.push_async_callback(images.close)
        stores = await running.enter_async_context(kept_in(options.cache, metrics=metrics))
        executor = running.enter_context(_threads(options.tokenizer_threads, name="tokenize"))
        monitor = ReadinessMonitor(
            engine,
            models,
            cards=[card for cards in asked_for for card in cards] or registry.cards,
            required=[frozenset(card.name for card in cards) for cards in asked_for],
            build_model=ModelBuilder(
                registry, models, engine, executor=executor, options=options, metrics=metrics, stores=stores
            ),
            metrics=metrics,
            canary_interval_seconds=options.canary_interval_seconds,
            address=address,
            explain_silence=lambda: http_port_mistake(address),
            urgent_beside_others=options.calls_side_by_side is not None,
        )
        running.push_async_callback(monitor.stop)
        await monitor.start()
        segmenting = running.enter_context(_threads(1, name="segment"))
        yield _service(models, monitor, options=options, metrics=metrics, segmenting=segmenting, images=images)


def _no_models_yet(registry: Registry, options: ServiceOptions, on_missing: OnMissing) -> ServedModels:
    return ServedModels(
        registry,
        default_model=options.default_model,
        default_reranker=options.default_reranker,
        default_tasks=default_tasks(registry, options.default_tasks),
        max_model_tokens=options.max_model_tokens,
        on_missing=on_missing,
    )


@contextmanager
def _threads(count: int, *, name: str) -> Iterator[ThreadPoolExecutor]:
    executor = ThreadPoolExecutor(max_workers=count, thread_name_prefix=name)
    try:
        yield executor
    finally:
        executor.shutdown(wait=False, cancel_futures=True)


def _service(
    models: ServedModels,
    monitor: ReadinessMonitor,
    *,
    options: ServiceOptions,
    metrics: Metrics,
    segmenting: Executor,
    images: ImageReader,
) -> Service:
    embedding = EmbeddingService(models, images=images, metrics=metrics, own_prefixes=options.own_prefixes)
    return Service(
        embedding=embedding,
        reranking=RerankingService(models, metrics=metrics, long_documents=options.rerank_long_documents),
        classification=ClassificationService(models, embedding),
        segmentation=SegmentationService(
            models,
            vocabulary_folder=options.vocabulary_folder,
            max_request_tokens=options.max_request_tokens,
            executor=segmenting,
        ),
        tokenization=TokenizationService(models, max_request_tokens=options.max_request_tokens),
        models=models,
        readiness=monitor,
    )


def _asked_for(registry: Registry, options: ServiceOptions) -> list[tuple[Card, ...]]:
    """The cards behind each name that the options ask for. Raises `ConfigurationError` for a name that is none."""
    for default in filter(None, (options.default_model, options.default_reranker)):
        _known(registry, default)
    return [_known(registry, name) for name in options.models]


def _known(registry: Registry, name: str) -> tuple[Card, ...]:
    """The cards that an operator means by `name`."""
    try:
        return registry.cards_of(name)
    except UnknownModel as error:
        raise ConfigurationError(
            error.message,
            remedy="Mend GATEWAY_MODELS, GATEWAY_DEFAULT_MODEL or GATEWAY_DEFAULT_RERANKER, then start again.",
        ) from None


class ModelBuilder:
    """Makes a served model out of its card. Implements `gateway.service.readiness.BuildModel`."""

    def __init__(
        self,
        registry: Registry,
        models: ServedModels,
        engine: Engine,
        *,
        executor: ThreadPoolExecutor,
        options: ServiceOptions,
        metrics: Metrics,
        stores: Stores | None = None,
    ) -> None:
        """`stores` None keeps no vectors."""
        self._stores = stores
        self._registry = registry
        self._models = models
        self._engine = engine
        self._executor = executor
        self._options = options
        self._metrics = metrics
        self._cl100k_base = Cl100kBase(options.vocabulary_folder)

    async def __call__(
        self, card: Card, *, on_outage: Callable[[EngineUnavailable], None]
    ) -> tuple[ServedModel, Canary]:
        """Raises `ConfigurationError` when the tokenizer cannot be read, and what the engine raises."""
        installation = read_installation(card)
        call = call_of(card, self._engine)
        reader = await self._reader(card)
        scheduler = await self._scheduler(card, call, installation=installation, on_outage=on_outage)
        is_fast = card.name in self._options.fast_models
        serving = ServingPrecision(card, wished=Precision.FAST if is_fast else Precision.EXACT)
        proof = Proof()
        model = ServedModel(
            card=card,
            reader=reader,
            scheduler=scheduler,
            shared=self._shared(card, scheduler, self._cache(card, installation, serving=serving, proof=proof)),
            installation=installation,
            serving=serving,
            proof=proof,
        )
        canary = Canary(
            expected=expected_canary(card, installation),
            tolerance=serving.tolerance,
            # As it was when its expected values were measured, whatever window is served.
            row=canary_row(card, reader.tokenizer.with_window(card.tokenizer.max_tokens)),
            call=call,
            on_difference=lambda difference: self._see(card, serving, difference),
        )
        return model, canary

    def _see(self, card: Card, serving: ServingPrecision, difference: float) -> None:
        serving.see(difference)
        for precision in Precision:
            self._metrics.model_precision.labels(card.name, precision.value).set(precision is serving.value)

    def _cache(
        self, card: Card, installation: Installation, *, serving: ServingPrecision, proof: Proof
    ) -> VectorCache | None:
        if self._stores is None or card.kind is not ModelKind.EMBEDDING:
            return None
        return VectorCache(
            self._stores,
            identity=identity_of(card, installation, dtype=self._options.dtype),
            size=card.embedding.dimensions,
            precision_of=lambda: serving.value.value,
            proved_since=lambda: proof.stretch,
        )

    def _shared(self, card: Card, scheduler: Scheduler, cache: VectorCache | None) -> SharedRows:
        return SharedRows(scheduler.submit, meter=SharingMeter(self._metrics, model=card.name), cache=cache)

    async def _reader(self, card: Card) -> InputReader:
        """The reader, which the members of a family share: a large tokenizer takes a second to load."""
        sibling = self._models.sibling_of(card)
        if sibling is not None:
            return sibling.reader
        tokenizer = await asyncio.get_running_loop().run_in_executor(self._executor, self._tokenizer, card)
        limits = ReadingLimits(
            max_request_tokens=self._options.max_request_tokens,
            strict_empty=self._options.strict_empty,
            token_ids=self._options.token_ids,
        )
        return InputReader(
            tokenizer,
            executor=self._executor,
            threads=self._options.tokenizer_threads,
            cl100k_base=self._cl100k_base,
            limits=limits,
            image_prompt=ImagePrompt.of(tokenizer, card.images) if card.images is not None else None,
        )

    def _tokenizer(self, card: Card) -> TextTokenizer:
        return TextTokenizer.from_file(
            self._tokenizer_path(card),
            max_tokens=min(card.tokenizer.max_tokens, self._options.max_model_tokens or card.tokenizer.max_tokens),
            max_text_bytes=self._options.max_text_bytes,
        )

    def _tokenizer_path(self, card: Card) -> Path:
        """The card's own file, or the one the operator put in its place for the default model."""
        path, default = self._options.tokenizer_path, self._options.default_model
        is_default = card.kind is ModelKind.EMBEDDING and (default is None or card in self._cards_behind(default))
        return path if path is not None and is_default else card.path_of(card.tokenizer.file)

    def _cards_behind(self, name: str) -> list[Card]:
        return [card for model in self._registry.find(name).models for card in model.cards]

    async def _scheduler(
        self,
        card: Card,
        call: ModelCall,
        *,
        installation: Installation,
        on_outage: Callable[[EngineUnavailable], None],
    ) -> Scheduler:
        options = self._options
        limits = limits_of(
            card,
            await instances_of(card, self._engine, calls_side_by_side=options.calls_side_by_side),
            calls_in_flight=options.calls_in_flight,
            max_queued_tokens=options.max_queued_tokens,
            recovery_wait_seconds=options.recovery_wait_seconds,
            one_row_a_call=not installation.batch_invariant,
            urgent_beside_others=options.calls_side_by_side is not None,
            short_calls_by_http=options.triton_http_url is not None,
            is_fast=card.name in options.fast_models,
        )
        meter = Meter(self._metrics, model=card.name, pads=not card.triton.takes_rows_unpadded)
        weights = options.caller_weights
        return Scheduler(
            call,
            limits=limits,
            meter=meter,
            on_outage=on_outage,
            weight_of=lambda caller: weights.get(caller, 1.0),
        )
