"""Counts and times every request for `/metrics`, and tells the caller how long the answer took to make."""

from __future__ import annotations

from prometheus_client import Counter, Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.telemetry.metrics import Metrics
from gateway.telemetry.requests import RequestRecord, record_of

PROCESSING_HEADER = b"openai-processing-ms"


class Measuring:
    """Fills in `status` of the request's record and adds `openai-processing-ms` to its answer."""

    def __init__(self, app: ASGIApp, *, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics
        self._counted: dict[
            tuple[str, str, int], tuple[Counter, Histogram]
        ] = {}  # `labels()` is slow for every request

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        record = record_of(scope)

        async def send_with_time(message: Message) -> None:
            if message["type"] == "http.response.start":
                record.status = message["status"]
                milliseconds = b"%d" % round(record.seconds() * 1000)
                message["headers"] = [*message["headers"], (PROCESSING_HEADER, milliseconds)]
            await send(message)

        self._metrics.requests_in_progress.inc()
        try:
            await self._app(scope, receive, send_with_time)
        finally:
            self._metrics.requests_in_progress.dec()
            self._count(record)

    def _count(self, record: RequestRecord) -> None:
        key = (record.route, record.model, record.status or 500)
        counted = self._counted.get(key)
        if counted is None:
            counted = self._counted[key] = (
                self._metrics.requests.labels(record.route, record.model, str(key[2])),
                self._metrics.request_seconds.labels(record.route),
            )
        counted[0].inc()
        counted[1].observe(record.seconds())
        if record.error_code is not None:
            self._metrics.errors.labels(record.route, record.error_code).inc()
