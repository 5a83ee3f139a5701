"""What operators and probes ask: what is this, does it live, is it ready, how is it doing."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response
from starlette.routing import BaseRoute
from starlette.types import Scope

from gateway.dialects.base import HealthReport, services_of
from gateway.dialects.pages import Page, json_response
from gateway.dialects.routing import serve
from gateway.dialects.service_schema import HealthResponse, LiveResponse, ReadyResponse, SummaryResponse
from gateway.telemetry.metrics import CONTENT_TYPE, Metrics, render_metrics

OPEN_PATHS = ("/", "/live", "/ready", "/health", "/live/", "/ready/", "/health/")
"""Answered without an API key: they hold nothing but names and states."""

_RETRY_HEADERS = {"retry-after": "1"}
_TAGS = ["Service"]


class ServicePages:
    """`/`, `/live`, `/ready`, `/health` and `/metrics`, by GET and HEAD."""

    def __init__(self, *, version: str, metrics: Metrics, has_docs: bool) -> None:
        self._version = version
        self._metrics = metrics
        self._has_docs = has_docs

    def routes(self) -> list[BaseRoute]:
        not_ready: dict[int, dict[str, Any]] = {503: {"model": ReadyResponse, "description": "Not ready."}}
        unhealthy: dict[int, dict[str, Any]] = {503: {"model": HealthResponse, "description": "Not ready."}}
        text: dict[int, dict[str, Any]] = {200: {"content": {"text/plain": {"schema": {"type": "string"}}}}}
        return [
            *_get("/", Page("root", self._summary), describe=summary),
            *_get("/live", Page("live", _live), describe=live),
            *_get("/ready", Page("ready", _ready), describe=ready, responses=not_ready),
            *_get("/health", Page("health", self._health), describe=health, responses=unhealthy),
            *_get(
                "/metrics",
                Page("metrics", self._metrics_text),
                describe=metrics_text,
                responses=text,
                response_class=Response,
            ),
        ]

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
                "links": links,
            }
        )

    def _health(self, scope: Scope) -> Response:
        report = services_of(scope).health.report()
        models = {name: {"state": model.state, "reason": model.reason} for name, model in report.models.items()}
        return _report_response(
            {"status": _word(report), "reason": report.reason, "version": self._version, "models": models}, report
        )

    def _metrics_text(self, _scope: Scope) -> Response:
        return Response(render_metrics(self._metrics), headers={"content-type": CONTENT_TYPE})


def _get(path: str, page: Page, **documentation: Any) -> list[BaseRoute]:
    return serve((path,), page, method="GET", tags=_TAGS, **documentation)


def _live(_scope: Scope) -> Response:
    return json_response({"status": "live"})


def _ready(scope: Scope) -> Response:
    report = services_of(scope).health.report()
    return _report_response({"status": _word(report)}, report)


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


def metrics_text() -> None:
    """The gateway's metrics, as Prometheus text."""
