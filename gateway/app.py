"""The composition root: settings in, ASGI app out. The only place that knows every part."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from dataclasses import replace
from importlib.metadata import version as installed_version
from typing import Any

from fastapi import FastAPI
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.artifacts.auto_pull import AutoPull
from gateway.artifacts.pull_order import DOWNLOADS, PullOrder
from gateway.caching.stores import CacheOptions
from gateway.cards.aliases import model_aliases
from gateway.cards.registry import Registry
from gateway.cards.schema import Card
from gateway.dialects.azure import Azure
from gateway.dialects.base import Dialect, Services, WorksBetweenRequests
from gateway.dialects.cohere import Cohere
from gateway.dialects.docs_pages import DocsPages
from gateway.dialects.endpoint import EndpointLimits
from gateway.dialects.gemini import Gemini, takes_key_in_query
from gateway.dialects.inputs import InputLimits
from gateway.dialects.jina import Jina
from gateway.dialects.ollama import Ollama
from gateway.dialects.openai import OpenAI
from gateway.dialects.owners import DialectRoutes, error_renderer
from gateway.dialects.routing import ExactRoutes
from gateway.dialects.runpod_http import RunPod
from gateway.dialects.service_pages import OPEN_PATHS, ServicePages
from gateway.dialects.tei import Tei
from gateway.dialects.vllm import Vllm
from gateway.dialects.voyage import Voyage
from gateway.errors import SetupError, UnknownModel
from gateway.images.reading import ImageLimits
from gateway.middleware.access_log import AccessLog
from gateway.middleware.api_keys import ApiKey, read_key_file
from gateway.middleware.auth import Auth, caller_name
from gateway.middleware.body_limit import BodyLimit
from gateway.middleware.error_rendering import ErrorRendering
from gateway.middleware.measuring import Measuring
from gateway.middleware.request_id import RequestId
from gateway.service.building import ServiceOptions, build_service
from gateway.service.public_model import OnMissing
from gateway.settings import Settings, TokenIdPolicy
from gateway.telemetry.metrics import Metrics, build_metrics
from gateway.triton.engine import Engine
from gateway.triton.grpc_engine import connection
from gateway.types import Vocabulary

StartServices = Callable[[Metrics], AbstractAsyncContextManager[Services]]
"""Runs what is behind the routes for as long as the block lasts."""

VERSION = installed_version("triton-embeddings-gateway")

_DESCRIPTION = (
    "Embeddings, reranking and classification as in OpenAI's and Jina's APIs, from models served by NVIDIA Triton."
)
_EXPOSED_HEADERS = (
    "x-request-id",
    "openai-processing-ms",
    "openai-version",
    "retry-after",
    "retry-after-ms",
    "x-gateway-warning",
    "metadata",
    "server-timing",
)
_PREFLIGHT_SECONDS = 600
# Room for a request that is over the limit to be told so in tokens.
_VALUES_PER_TOKEN = 2

_VOCABULARIES = {
    TokenIdPolicy.CL100K_BASE: Vocabulary.CL100K_BASE,
    TokenIdPolicy.MODEL: Vocabulary.MODEL,
    TokenIdPolicy.REFUSE: None,
}


class GatewayApp(FastAPI):
    """FastAPI with this project's own middleware stack instead of the framework's, and a shortcut through its router.

    The framework's exception layers would answer in their own words before `ErrorRendering` does; they and its router
    cost more than the rest of a short request.
    """

    def __init__(self, *, middleware_stack: Sequence[Middleware], dialects: Sequence[Dialect], **options: Any) -> None:
        super().__init__(**options)
        self.dialects = tuple(dialects)
        self.startup_error: SetupError | None = None
        self._own_stack = tuple(middleware_stack)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._run_lifespan(scope, receive, send)
        else:
            # As Starlette does; FastAPI looks for OpenTelemetry providers here on every request, and nobody sets any.
            scope["app"] = self
            if self.middleware_stack is None:
                self.middleware_stack = self.build_middleware_stack()
            await self.middleware_stack(scope, receive, send)

    async def _run_lifespan(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Keeps a `SetupError` for whoever runs the server, instead of letting it be told as a traceback."""

        async def send_plainly(message: Message) -> None:
            if message["type"] == "lifespan.startup.failed" and self.startup_error is not None:
                message["message"] = ""
            await send(message)

        await super().__call__(scope, receive, send_plainly)

    def build_middleware_stack(self) -> ASGIApp:
        app: ASGIApp = ExactRoutes(self.router, self.router.routes)
        for layer in reversed(self._own_stack):
            app = layer.cls(app, *layer.args, **layer.kwargs)
        return app


def create_app(
    settings: Settings,
    *,
    engine: Engine | None = None,
    start_services: StartServices | None = None,
    calls_side_by_side: int | None = None,
    fast_models: Collection[str] = (),
    choose_dialects: Callable[[Settings], Sequence[Dialect]] | None = None,
) -> GatewayApp:
    """The gateway as an ASGI app; models are served between its lifespan's startup and shutdown.

    `engine` replaces the connection to `settings.triton_url`; `start_services` replaces everything behind the routes,
    `choose_dialects` the APIs that are spoken: `public_dialects`.
    `calls_side_by_side` and `fast_models` are what `ServiceOptions` has under these names.
    Starts whether or not Triton can be reached. Raises `ConfigurationError` when the keys' file or the model repository
    cannot be read; what only shows when the lifespan starts is kept as `startup_error`.
    """
    metrics = build_metrics(version=VERSION)
    dialects = (choose_dialects or public_dialects)(settings)
    routes = [(dialect, dialect.routes()) for dialect in dialects]
    start = start_services or served_by_triton(
        settings, engine, calls_side_by_side=calls_side_by_side, fast_models=fast_models
    )

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, Any]]:
        async with AsyncExitStack() as running:
            try:
                services = await running.enter_async_context(start(metrics))
            except SetupError as error:
                assert isinstance(app, GatewayApp)
                app.startup_error = error
                raise
            await running.enter_async_context(_work_of(dialects))
            yield services.as_state()

    app = GatewayApp(
        title="Embeddings gateway",
        version=VERSION,
        description=_DESCRIPTION,
        middleware_stack=_middleware(settings, metrics, routes),
        dialects=dialects,
        lifespan=lifespan,
        openapi_url=None,
        redirect_slashes=False,
    )
    app.router.routes.extend(_routes(app, settings, metrics, routes))
    return app


@asynccontextmanager
async def _work_of(dialects: Sequence[Dialect]) -> AsyncIterator[None]:
    """What dialects do that no request waits for."""
    async with AsyncExitStack() as running:
        for dialect in dialects:
            if isinstance(dialect, WorksBetweenRequests):
                await running.enter_async_context(dialect.running())
        yield


def public_dialects(settings: Settings) -> list[Dialect]:
    """The public APIs; the first one words the errors of paths that belong to nobody."""
    limits = endpoint_limits(settings)
    return [
        OpenAI(limits),
        Jina(limits),
        Cohere(limits),
        Ollama(limits),
        Tei(limits, tokenizer_threads=settings.tokenizer_threads),
        Azure(limits),
        Vllm(limits),
        Voyage(limits),
        Gemini(limits),
        RunPod(limits, concurrency=settings.job_concurrency, max_output_bytes=settings.max_job_output_bytes),
    ]


def endpoint_limits(settings: Settings) -> EndpointLimits:
    """What one request may ask for, whichever API it is of."""
    return EndpointLimits(
        inputs=InputLimits(max_inputs=settings.max_inputs, max_image_bytes=settings.max_image_bytes),
        max_body_values=_VALUES_PER_TOKEN * (settings.max_request_tokens + settings.max_inputs),
        request_timeout_seconds=settings.request_timeout_seconds,
    )


def _routes(app: FastAPI, settings: Settings, metrics: Metrics, of_dialects: DialectRoutes) -> list[BaseRoute]:
    routes = [route for _, own in of_dialects for route in own]
    routes += ServicePages(
        version=VERSION, metrics=metrics, has_docs=settings.api_docs, has_keys=bool(read_keys(settings))
    ).routes()
    if settings.api_docs:
        routes += DocsPages(describe=app.openapi).routes()
    return routes


def _middleware(settings: Settings, metrics: Metrics, routes: DialectRoutes) -> list[Middleware]:
    """Outermost first. Keys are checked before a byte of the body is read; CORS headers are on errors too."""
    layers = [Middleware(RequestId), Middleware(AccessLog), Middleware(Measuring, metrics=metrics)]
    if settings.cors_origins:
        layers.append(
            Middleware(
                CORSMiddleware,
                allow_origins=settings.cors_origins,
                allow_methods=["GET", "POST"],
                allow_headers=["*"],  # clients add headers of their own, `x-stainless-*` for one; keys are no cookies
                expose_headers=_EXPOSED_HEADERS,
                max_age=_PREFLIGHT_SECONDS,
            )
        )
    layers.append(Middleware(ErrorRendering, render_error=error_renderer(routes, default=routes[0][0])))
    keys = read_keys(settings)
    if keys:
        defaults = {key.key: key.defaults for key in keys if key.defaults is not None}
        layers.append(
            Middleware(
                Auth,
                keys=[key.key for key in keys],
                open_paths=OPEN_PATHS,
                defaults=defaults,
                key_in_query=takes_key_in_query,
            )
        )
    layers.append(
        Middleware(
            BodyLimit,
            max_body_bytes=settings.max_body_bytes,
            body_timeout_seconds=settings.body_timeout_seconds,
        )
    )
    return layers


def read_keys(settings: Settings) -> tuple[ApiKey, ...]:
    """The accepted API keys, each once; in the file, blank lines and lines that start with `#` do not count. Of a key
    that comes twice the last word counts."""
    keys = [ApiKey(key.get_secret_value()) for key in settings.api_keys]
    if settings.api_keys_file is not None:
        keys += read_key_file(settings.api_keys_file)
    return tuple({key.key: key for key in keys if key.key}.values())


def served_by_triton(
    settings: Settings,
    engine: Engine | None,
    *,
    calls_side_by_side: int | None = None,
    fast_models: Collection[str] = (),
) -> StartServices:
    """The real services. Raises `ConfigurationError` when the model repository cannot be read."""
    registry = Registry.from_repository(settings.model_repository, aliases=model_aliases(settings.model_aliases))

    @asynccontextmanager
    async def start(metrics: Metrics) -> AsyncIterator[Services]:
        options = replace(
            service_options(settings), calls_side_by_side=calls_side_by_side, fast_models=frozenset(fast_models)
        )
        async with (
            models_on_demand(settings, registry, engine) as (used_engine, on_missing),
            build_service(
                registry, options=options, metrics=metrics, engine=used_engine, on_missing=on_missing
            ) as service,
        ):
            yield Services(
                embedder=service.embedding,
                reranker=service.reranking,
                classifier=service.classification,
                segmenter=service.segmentation,
                tokenizer=service.tokenization,
                models=service.models,
                health=service.readiness,
            )

    return start


@asynccontextmanager
async def models_on_demand(
    settings: Settings, registry: Registry, engine: Engine | None
) -> AsyncIterator[tuple[Engine | None, OnMissing]]:
    """What is done about a known model that Triton has not loaded: nothing, or with GATEWAY_AUTO_PULL it is brought."""
    if not settings.auto_pull:
        yield engine, lambda _: None
        return
    used_engine = engine or connection(triton_url=settings.triton_url, triton_http_url=settings.triton_http_url)
    named: list[Card] = []
    # A name that is none is told by whoever builds the service.
    with suppress(UnknownModel):
        named = [card for name in settings.models for card in registry.cards_of(name)]
    allowed = {card.name for card in named or registry.cards}
    bringing = AutoPull(used_engine, lambda card: pull_order(settings, card), allowed=allowed)
    try:
        bringing.begin(named)
        yield used_engine, bringing.on_missing
    finally:
        await bringing.stop()
        if engine is None:
            await used_engine.close()


def pull_order(settings: Settings, card: Card) -> PullOrder:
    return PullOrder(
        card=card.name,
        models=str(settings.model_repository.absolute()),
        staging=str((settings.run_folder / DOWNLOADS).absolute()),
        variant=settings.variant if card.variants else None,
        endpoint=settings.hf_endpoint,
        token=settings.hf_token.get_secret_value() if settings.hf_token else None,
    )


def image_limits(settings: Settings) -> ImageLimits:
    return ImageLimits(
        urls=settings.image_urls,
        max_image_bytes=settings.max_image_bytes,
        max_image_pixels=settings.max_image_pixels,
        max_images_bytes=settings.max_images_bytes,
        fetch_seconds=settings.image_fetch_seconds,
        fetches=settings.image_fetches,
        workers=settings.image_workers,
    )


def service_options(settings: Settings) -> ServiceOptions:
    """What the service needs of the settings, under the same names."""
    return ServiceOptions(
        triton_url=settings.triton_url,
        triton_http_url=settings.triton_http_url,
        models=settings.models,
        default_model=settings.default_model,
        default_reranker=settings.default_reranker,
        own_prefixes=settings.own_prefixes,
        rerank_long_documents=settings.rerank_long_documents,
        tokenizer_path=settings.tokenizer_path,
        vocabulary_folder=settings.vocabulary_folder,
        token_ids=_VOCABULARIES[settings.token_ids],
        default_tasks=settings.default_tasks,
        max_model_tokens=settings.max_model_tokens,
        dtype=settings.dtype,
        images=image_limits(settings),
        strict_empty=settings.strict_empty,
        max_request_tokens=settings.max_request_tokens,
        max_text_bytes=settings.max_text_bytes,
        max_queued_tokens=settings.max_queued_tokens,
        calls_in_flight=settings.calls_in_flight,
        caller_weights={caller_name(key.key): key.weight for key in read_keys(settings) if key.weight != 1},
        recovery_wait_seconds=settings.recovery_wait_seconds,
        tokenizer_threads=settings.tokenizer_threads,
        canary_interval_seconds=settings.canary_interval_seconds,
        cache=cache_options(settings),
    )


def cache_options(settings: Settings) -> CacheOptions:
    return CacheOptions(
        max_bytes=settings.cache_bytes,
        url=settings.cache_url.get_secret_value() if settings.cache_url else None,
        secret=settings.cache_secret.get_secret_value() if settings.cache_secret else None,
        ttl_seconds=settings.cache_ttl_seconds,
    )
