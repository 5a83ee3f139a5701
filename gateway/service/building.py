"""Composition of the service from plain values, for the app and for tests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from gateway.batching.meter import Meter
from gateway.batching.scheduler import Scheduler, SchedulerLimits
from gateway.cards.registry import Registry
from gateway.cards.schema import Card
from gateway.errors import ConfigurationError, EngineUnavailable, UnknownModel
from gateway.service.canary import Canary
from gateway.service.embedding import EmbeddingService
from gateway.service.model_call import EmbeddingCall
from gateway.service.readiness import ReadinessMonitor
from gateway.service.served_models import ServedModel, ServedModels
from gateway.telemetry.metrics import Metrics
from gateway.text.reading import InputReader, ReadingLimits
from gateway.text.tokenizer import TextTokenizer
from gateway.text.vocabularies import Cl100kBase
from gateway.triton.endpoint import grpc_address, http_port_mistake
from gateway.triton.engine import Engine
from gateway.triton.grpc_engine import GrpcEngine
from gateway.types import Vocabulary


@dataclass(frozen=True, slots=True)
class ServiceOptions:
    """What `build_service` needs to know; the settings of the same names say what each means.

    `models` restricts what is served, and asks for it; empty for all. `token_ids` None refuses token ids that come
    without a vocabulary.
    """

    triton_url: str = "127.0.0.1:8001"
    models: Sequence[str] = ()
    default_model: str | None = None
    tokenizer_path: Path | None = None
    vocabulary_folder: Path = Path("vocabularies")
    token_ids: Vocabulary | None = Vocabulary.CL100K_BASE
    strict_empty: bool = False
    max_request_tokens: int = 300_000
    max_text_bytes: int = 256 * 1024
    max_queued_tokens: int = 2_000_000
    calls_in_flight: int = 2
    recovery_wait_seconds: float = 10.0
    tokenizer_threads: int = 2
    canary_interval_seconds: float = 1.0


@dataclass(frozen=True, slots=True)
class Service:
    """The running service: what the HTTP edge talks to."""

    embedding: EmbeddingService
    models: ServedModels
    readiness: ReadinessMonitor


@asynccontextmanager
async def build_service(
    registry: Registry, *, options: ServiceOptions, metrics: Metrics, engine: Engine | None = None
) -> AsyncIterator[Service]:
    """Runs the service inside the block. Starts whether or not Triton can be reached.

    `engine` replaces the connection to `options.triton_url` and is left open. Raises `ConfigurationError` for options
    that cannot be right: an unknown model name, an address that is none.
    """
    cards = [_known(registry, name) for name in options.models] or list(registry.cards)
    if options.default_model is not None:
        _known(registry, options.default_model)
    address = grpc_address(options.triton_url)
    own_engine = GrpcEngine(address) if engine is None else None
    used_engine = engine or own_engine
    assert used_engine is not None
    models = ServedModels(registry, default_model=options.default_model)
    executor = ThreadPoolExecutor(max_workers=options.tokenizer_threads, thread_name_prefix="tokenize")
    builder = ModelBuilder(registry, used_engine, executor, options=options, metrics=metrics)
    monitor = ReadinessMonitor(
        used_engine,
        models,
        cards=cards,
        required=frozenset(card.name for card in cards) if options.models else frozenset(),
        build_model=builder,
        metrics=metrics,
        canary_interval_seconds=options.canary_interval_seconds,
        address=address,
        explain_silence=lambda: http_port_mistake(address),
    )
    try:
        await monitor.start()
        yield Service(embedding=EmbeddingService(models, metrics=metrics), models=models, readiness=monitor)
    finally:
        await monitor.stop()
        if own_engine is not None:
            await own_engine.close()
        executor.shutdown(wait=False, cancel_futures=True)


def _known(registry: Registry, name: str) -> Card:
    try:
        return registry.resolve(name)
    except UnknownModel as error:
        raise ConfigurationError(
            error.message, remedy="Mend GATEWAY_MODELS or GATEWAY_DEFAULT_MODEL, then start again."
        ) from None


class ModelBuilder:
    """Makes a served model out of its card. Implements `gateway.service.readiness.BuildModel`."""

    def __init__(
        self,
        registry: Registry,
        engine: Engine,
        executor: ThreadPoolExecutor,
        *,
        options: ServiceOptions,
        metrics: Metrics,
    ) -> None:
        self._registry = registry
        self._engine = engine
        self._executor = executor
        self._options = options
        self._metrics = metrics
        self._cl100k_base = Cl100kBase(options.vocabulary_folder)

    async def __call__(
        self, card: Card, *, on_outage: Callable[[EngineUnavailable], None]
    ) -> tuple[ServedModel, Canary]:
        """Raises `ConfigurationError` when the tokenizer cannot be read."""
        loop = asyncio.get_running_loop()
        tokenizer = await loop.run_in_executor(self._executor, self._tokenizer, card)
        call = EmbeddingCall(card, self._engine)
        model = ServedModel(
            card=card,
            reader=self._reader(tokenizer),
            scheduler=self._scheduler(card, call, on_outage=on_outage),
        )
        [canary] = tokenizer.encode([card.canary.text])
        return model, Canary(card.canary, ids=canary.ids, call=call)

    def _tokenizer(self, card: Card) -> TextTokenizer:
        return TextTokenizer.from_file(
            self._tokenizer_path(card),
            max_tokens=card.tokenizer.max_tokens,
            max_text_bytes=self._options.max_text_bytes,
        )

    def _tokenizer_path(self, card: Card) -> Path:
        """The card's own file, or the one the operator put in its place for the default model."""
        path, default = self._options.tokenizer_path, self._options.default_model
        if path is not None and (default is None or self._registry.resolve(default) is card):
            return path
        return card.path_of(card.tokenizer.file)

    def _reader(self, tokenizer: TextTokenizer) -> InputReader:
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
        )

    def _scheduler(
        self, card: Card, call: EmbeddingCall, *, on_outage: Callable[[EngineUnavailable], None]
    ) -> Scheduler:
        limits = SchedulerLimits(
            max_batch_tokens=card.batching.max_batch_tokens,
            max_queued_tokens=self._options.max_queued_tokens,
            calls_in_flight=self._options.calls_in_flight,
            recovery_wait_seconds=self._options.recovery_wait_seconds,
        )
        return Scheduler(call, limits=limits, meter=Meter(self._metrics, model=card.name), on_outage=on_outage)
