"""What operators and probes ask: what is this, does it live, is it ready, how is it doing."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response
from starlette.routing import BaseRoute
from starlette.types import Scope

from gateway.dialects.accept import preferred_type
from gateway.dialects.base import HealthReport, services_of
from gateway.dialects.front_page import ASSET_PATHS, FrontPage
from gateway.dialects.pages import Page, json_response
from gateway.dialects.routing import serve
from gateway.dialects.service_schema import HealthResponse, LiveResponse, ReadyResponse, SummaryResponse
from gateway.telemetry.metrics import CONTENT_TYPE, Metrics, render_metrics, request_counts

RUNNING = "Ollama is running"

_HTML, _JSON, _PLAIN = "text/html", "application/json", "text/plain"
_READY = "ready"

OPEN_PATHS = ("/", "/live", "/ready", "/health", "/ping", "/live/", "/ready/", "/health/", "/ping/", *ASSET_PATHS)
"""Answered without an API key: they hold nothing but names and states, and the page for browsers."""

# Where RunPod's clients ask, who put an endpoint's id before everything. It needs a key, as their API does.
_RUNPOD_HEALTH = ("/v2/{endpoint}/health", "/{endpoint}/health")
_RETRY_HEADERS = {"retry-after": "1"}
_TAGS = ["Service"]


class ServicePages:
    """`/`, `/live`, `/ready`, `/health` and `/metrics`, by GET and HEAD."""

    def __init__(self, *, version: str, metrics: Metrics, has_docs: bool, has_keys: bool = False) -> None:
        """`has_docs`: whether there are pages to link to; `has_keys`: whether callers need an API key."""
        self._version = version
        self._metrics = metrics
        self._has_docs = has_docs
        self._has_keys = has_keys
        self._page = FrontPage()

    def routes(self) -> list[BaseRoute]:
        not_ready: dict[int, dict[str, Any]] = {503: {"model": ReadyResponse, "description": "Not ready."}}
        unhealthy: dict[int, dict[str, Any]] = {503: {"model": HealthResponse, "description": "Not ready."}}
        text: dict[int, dict[str, Any]] = {200: {"content": {"text/plain": {"schema": {"type": "string"}}}}}
        return [
            *self._page.routes(),
            *_get("/", Page("root", self._front), describe=summary),
            *_get("/live", Page("live", _live), describe=live),
            *_get("/ready", Page("ready", _ready), describe=ready, responses=not_ready),
            *_get("/health", Page("health", self._health), *_RUNPOD_HEALTH, describe=health, responses=unhealthy),
            *_get("/ping", Page("health", self._health), describe=ping, responses=unhealthy),
            *_get(
                "/metrics",
                Page("metrics", self._metrics_text),
                describe=metrics_text,
                responses=text,
                response_class=Response,
            ),
        ]

    def _front(self, scope: Scope) -> Response:
        """A page for browsers, JSON for who asks for it, and for all others, HEAD included, the sentence by which
        clients of Ollama know that somebody is there."""
        wanted = preferred_type(scope, (_HTML, _JSON), otherwise=_PLAIN)
        if wanted == _HTML:
            response = self._page.answer(scope)
        elif wanted == _JSON:
            response = self._summary(scope)
        else:
            response = Response(RUNNING, media_type=_PLAIN)
        response.headers["vary"] = "accept"
        return response

    def _summary(self, scope: Scope) -> Response:
        links = {
            "embeddings": "/v1/embeddings",
            "rerank": "/v1/rerank",
            "classify": "/v1/classify",
            "segment": "/v1/segment",
            "models": "/v1/models",
            "health": "/health",
            "metrics": "/metrics",
        }
        if self._has_docs:
            links |= {"docs": "/docs", "reference": "/redoc", "openapi": "/openapi.json"}
        return json_response(
            {
                "name": "triton-embeddings-gateway",
                "version": self._version,
                "description": "An embeddings gateway in front of NVIDIA Triton.",
                "models": [listing.model.name for listing in services_of(scope).models.list()],
                "api_key_required": self._has_keys,
                "links": links,
            }
        )

    def _health(self, scope: Scope) -> Response:
        report = services_of(scope).health.report()
        models = {name: {"state": model.state, "reason": model.reason} for name, model in report.models.items()}
        own = {"status": _word(report), "reason": report.reason, "version": self._version, "models": models}
        return _report_response(own | _runpod_health(report, self._metrics) | _tei_health(report), report)

    def _metrics_text(self, _scope: Scope) -> Response:
        return Response(render_metrics(self._metrics), headers={"content-type": CONTENT_TYPE})


def _get(path: str, page: Page, *other_paths: str, **documentation: Any) -> list[BaseRoute]:
    return serve((path, *other_paths), page, method="GET", tags=_TAGS, **documentation)


def _live(_scope: Scope) -> Response:
    return json_response({"status": "live"})


def _ready(scope: Scope) -> Response:
    report = services_of(scope).health.report()
    return _report_response({"status": _word(report)}, report)


def _runpod_health(report: HealthReport, metrics: Metrics) -> dict[str, Any]:
    """RunPod's counts: a job is a request that was answered since the start, a worker is a model."""
    counts = request_counts(metrics)
    states = [model.state for model in report.models.values()]
    ready = states.count(_READY)
    busy = min(ready, counts.in_progress - 1)  # this request is none that a model works on
    return {
        "jobs": {
            "completed": counts.completed,
            "failed": counts.failed,
            "inProgress": counts.in_progress - 1,
            "inQueue": counts.waiting_rows,
            "retried": counts.retried,
        },
        "workers": {
            "idle": ready - busy,
            "initializing": 0,
            "ready": ready,
            "running": busy,
            "throttled": 0,
            "unhealthy": len(states) - ready,
        },
    }


def _tei_health(report: HealthReport) -> dict[str, Any]:
    """TEI's error, while there is one."""
    reason = report.reason or "Not every model is ready."
    return {} if report.ready else {"error": reason, "error_type": "Unhealthy"}


def _word(report: HealthReport) -> str:
    return "ready" if report.ready else "not_ready"


def _report_response(content: dict[str, Any], report: HealthReport) -> Response:
    return json_response(content) if report.ready else json_response(content, status=503, headers=_RETRY_HEADERS)


def summary() -> SummaryResponse:  # type: ignore[empty-body]
    """What this is, which models it serves and where to go from here."""


def live() -> LiveResponse:  # type: ignore[empty-body]
    """Whether the gateway's event loop runs. Says nothing about models."""


def ready() -> ReadyResponse:  # type: ignore[empty-body]
    """Whether every model gave the right vector for its canary a moment ago."""


def health() -> HealthResponse:  # type: ignore[empty-body]
    """The state of every model, and why it is not ready."""


def ping() -> HealthResponse:  # type: ignore[empty-body]
    """As `/health`, under the name that TEI, vLLM and SageMaker have for it."""


def metrics_text() -> None:
    """The gateway's metrics, as Prometheus text."""
