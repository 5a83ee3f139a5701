"""Counts and times every request for `/metrics`, and tells the caller how long the answer took to make."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.telemetry.metrics import Metrics
from gateway.telemetry.requests import RequestRecord, record_of

PROCESSING_HEADER = b"openai-processing-ms"


class Measuring:
    """Fills in `status` of the request's record and adds `openai-processing-ms` to its answer."""

    def __init__(self, app: ASGIApp, *, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

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
        self._metrics.requests.labels(record.route, record.model, str(record.status or 500)).inc()
        self._metrics.request_seconds.labels(record.route).observe(record.seconds())
        if record.error_code is not None:
            self._metrics.errors.labels(record.route, record.error_code).inc()
