"""One model's batching metrics with their labels bound once: looking a label up costs as much as counting."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from gateway.batching.submission import Row
from gateway.telemetry.metrics import DropReason, Metrics, RetryReason


class Meter:
    """Records what happens to one model's rows and calls. `pads` says whether a call's rows are sent at the length of
    the longest."""

    def __init__(self, metrics: Metrics, *, model: str, pads: bool = True) -> None:
        self._pads = pads
        self._queue_seconds = metrics.queue_seconds.labels(model)
        self._infer_seconds = metrics.infer_seconds.labels(model)
        self._batch_rows = metrics.batch_rows.labels(model)
        self._batch_tokens = metrics.batch_tokens.labels(model)
        self._real_tokens = metrics.real_tokens.labels(model)
        self._padded_tokens = metrics.padded_tokens.labels(model)
        self._queued_rows = metrics.queued_rows.labels(model)
        self._queued_tokens = metrics.queued_tokens.labels(model)
        self._calls_in_flight = metrics.calls_in_flight.labels(model)
        self._retries = {reason: metrics.retries.labels(model, reason.value) for reason in RetryReason}
        self._dropped = {reason: metrics.dropped_rows.labels(model, reason.value) for reason in DropReason}

    def watch(self, *, rows: Callable[[], float], tokens: Callable[[], float], calls: Callable[[], float]) -> None:
        """Gauges are read when they are scraped, so that they cost nothing on the way."""
        self._queued_rows.set_function(rows)
        self._queued_tokens.set_function(tokens)
        self._calls_in_flight.set_function(calls)

    def cut(self, rows: Sequence[Row]) -> None:
        tokens = sum([row.tokens for row in rows])
        self._batch_rows.observe(len(rows))
        self._batch_tokens.observe(tokens)
        self._real_tokens.inc(tokens)
        self._padded_tokens.inc(len(rows) * max([row.length for row in rows]) if self._pads else tokens)

    def queued(self, waits: Sequence[float]) -> None:
        """How many seconds each of the requests has waited of which a call was cut."""
        for seconds in waits:
            self._queue_seconds.observe(seconds)

    def computed(self, seconds: float) -> None:
        self._infer_seconds.observe(seconds)

    def retried(self, reason: RetryReason) -> None:
        self._retries[reason].inc()

    def dropped(self, rows: int, reason: DropReason) -> None:
        if rows:
            self._dropped[reason].inc(rows)
