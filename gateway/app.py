"""The composition root: settings in, ASGI app out. The only place that knows every part."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.dialects.base import Dialect, Services
from gateway.dialects.docs_pages import DocsPages
from gateway.dialects.openai import OpenAI
from gateway.dialects.routing import ExactRoutes, error_renderer
from gateway.dialects.service_pages import OPEN_PATHS, ServicePages
from gateway.errors import ConfigurationError
from gateway.middleware.access_log import AccessLog
from gateway.middleware.auth import Auth
from gateway.middleware.body_limit import BodyLimit
from gateway.middleware.error_rendering import ErrorRendering
from gateway.middleware.measuring import Measuring
from gateway.middleware.request_id import RequestId
from gateway.settings import Settings
from gateway.telemetry.metrics import Metrics, build_metrics
from gateway.triton.engine import Engine

StartServices = Callable[[Settings, Metrics, Engine | None], AbstractAsyncContextManager[Services]]

VERSION = installed_version("triton-embeddings-gateway")

_EXPOSED_HEADERS = (
    "x-request-id",
    "openai-processing-ms",
    "openai-version",
    "retry-after",
    "retry-after-ms",
    "x-gateway-warning",
)
_PREFLIGHT_SECONDS = 600


class GatewayApp(FastAPI):
    """FastAPI with this project's own middleware stack instead of the framework's, and a shortcut through its router.

    The framework's exception layers would answer in their own words before `ErrorRendering` does; they and its router
    cost more than the rest of a short request.
    """

    def __init__(self, *, middleware_stack: Sequence[Middleware], **options: Any) -> None:
        super().__init__(**options)
        self._own_stack = tuple(middleware_stack)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # FastAPI looks for OpenTelemetry providers here on every request; nobody sets any.
        handle = super().__call__ if scope["type"] == "lifespan" else partial(Starlette.__call__, self)
        await handle(scope, receive, send)

    def build_middleware_stack(self) -> ASGIApp:
        app: ASGIApp = ExactRoutes(self.router, self.router.routes)
        for layer in reversed(self._own_stack):
            app = layer.cls(app, *layer.args, **layer.kwargs)
        return app


def create_app(
    settings: Settings, *, engine: Engine | None = None, start_services: StartServices | None = None
) -> GatewayApp:
    """The gateway as an ASGI app; models are served between its lifespan's startup and shutdown.

    `engine` replaces the connection to `settings.triton_url`; `start_services` replaces everything behind the routes.
    Starts whether or not Triton can be reached. Raises `ConfigurationError` when the keys' file cannot be read.
    """
    metrics = build_metrics(version=VERSION)
    dialects: list[Dialect] = [
        OpenAI(max_inputs=settings.max_inputs, request_timeout_seconds=settings.request_timeout_seconds)
    ]
    start = start_services or served_by_triton

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[dict[str, Any]]:
        async with start(settings, metrics, engine) as services:
            yield services.as_state()

    app = GatewayApp(
        title="Embeddings gateway",
        version=VERSION,
        description="OpenAI-compatible embeddings from models served by NVIDIA Triton.",
        middleware_stack=_middleware(settings, metrics, dialects),
        lifespan=lifespan,
        openapi_url=None,
        redirect_slashes=False,
    )
    app.router.routes.extend(_routes(app, settings, metrics, dialects))
    return app


def _routes(app: FastAPI, settings: Settings, metrics: Metrics, dialects: Sequence[Dialect]) -> list[BaseRoute]:
    routes = [route for dialect in dialects for route in dialect.routes()]
    routes += ServicePages(version=VERSION, metrics=metrics, has_docs=settings.api_docs).routes()
    if settings.api_docs:
        routes += DocsPages(describe=app.openapi).routes()
    return routes


def _middleware(settings: Settings, metrics: Metrics, dialects: Sequence[Dialect]) -> list[Middleware]:
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
    layers.append(Middleware(ErrorRendering, render_error=error_renderer(dialects, default=dialects[0])))
    keys = read_keys(settings)
    if keys:
        layers.append(Middleware(Auth, keys=keys, open_paths=OPEN_PATHS))
    layers.append(
        Middleware(
            BodyLimit,
            max_body_bytes=settings.max_body_bytes,
            body_timeout_seconds=settings.body_timeout_seconds,
        )
    )
    return layers


def read_keys(settings: Settings) -> tuple[str, ...]:
    """The accepted API keys; in the file, blank lines and lines that start with `#` do not count."""
    keys = [key.get_secret_value() for key in settings.api_keys]
    if settings.api_keys_file is not None:
        keys += _lines_of(settings.api_keys_file)
    return tuple(dict.fromkeys(key for key in keys if key))


def _lines_of(file: Path) -> list[str]:
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"The API keys' file {file} cannot be read ({type(error).__name__}).",
            remedy="Mend GATEWAY_API_KEYS_FILE or the file's rights, then start again.",
        ) from None
    lines = [line.strip() for line in text.splitlines()]
    keys = [line for line in lines if line and not line.startswith("#")]
    if not keys:
        raise ConfigurationError(
            f"The API keys' file {file} holds no key.",
            remedy="Write one key a line into it, or unset GATEWAY_API_KEYS_FILE to serve without keys.",
        )
    return keys


def served_by_triton(
    settings: Settings, metrics: Metrics, engine: Engine | None
) -> AbstractAsyncContextManager[Services]:
    raise NotImplementedError
