"""What sharing saved, for one model, with labels bound once."""

from __future__ import annotations

from gateway.telemetry.metrics import Metrics


class SharingMeter:
    def __init__(self, metrics: Metrics, *, model: str) -> None:
        self._shared_rows = metrics.shared_rows.labels(model)
        self._hits = metrics.cache_hits.labels(model)
        self._misses = metrics.cache_misses.labels(model)
        self._saved_tokens = metrics.saved_tokens.labels(model)

    def shared(self, rows: int, tokens: int) -> None:
        """Rows that were the same as others under way."""
        self._shared_rows.inc(rows)
        self._saved_tokens.inc(tokens)

    def looked_up(self, *, hits: int, misses: int, tokens: int) -> None:
        """Rows looked for in the cache; `tokens` are those of the ones found."""
        self._hits.inc(hits)
        self._misses.inc(misses)
        self._saved_tokens.inc(tokens)
