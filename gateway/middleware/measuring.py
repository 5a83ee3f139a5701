"""Counts and times every request for `/metrics`, and tells the caller how long the answer took to make."""

from __future__ import annotations

from collections.abc import Awaitable

from prometheus_client import Counter, Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.telemetry.metrics import Metrics
from gateway.telemetry.requests import RequestRecord, record_of
from gateway.types import StageSeconds

PROCESSING_HEADER = b"openai-processing-ms"
STAGES_HEADER = b"server-timing"


class Measuring:
    """Fills in `status` of the request's record and adds `openai-processing-ms` to its answer; where a model was asked,
    also `server-timing` (W3C), with the time of each stage."""

    def __init__(self, app: ASGIApp, *, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics
        self._in_progress = 0
        metrics.requests_in_progress.set_function(lambda: self._in_progress)
        self._counted: dict[
            tuple[str, str, int], tuple[Counter, Histogram]
        ] = {}  # `labels()` is slow for every request

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        record = record_of(scope)

        def send_with_time(message: Message) -> Awaitable[None]:
            if message["type"] == "http.response.start":
                record.status = message["status"]
                seconds = record.seconds()
                headers = [*message["headers"], (PROCESSING_HEADER, b"%d" % round(seconds * 1000))]
                if record.stages is not None:
                    headers.append((STAGES_HEADER, _stage_times(record.stages, seconds)))
                message["headers"] = headers
            return send(message)

        self._in_progress += 1
        try:
            await self._app(scope, receive, send_with_time)
        finally:
            self._in_progress -= 1
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


def _stage_times(stages: StageSeconds, seconds: float) -> bytes:
    """In milliseconds; `total` is from the request's headers to the answer's."""
    images = b"images;dur=%.2f, " % (stages.images * 1000) if stages.images else b""
    return images + b"tokenize;dur=%.2f, queue;dur=%.2f, infer;dur=%.2f, total;dur=%.2f" % (
        stages.tokenize * 1000,
        stages.queue * 1000,
        stages.infer * 1000,
        seconds * 1000,
    )
