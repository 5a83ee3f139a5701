"""How many tokens Triton computed for each that it was asked for, from the gateway's own metrics."""

from __future__ import annotations

from dataclasses import dataclass

from prometheus_client.parser import text_string_to_metric_families

from gateway.bench.closed_loop import NETWORK_FAULTS
from gateway.bench.target import Target

REAL, PADDED = "gateway_real_tokens_total", "gateway_padded_tokens_total"


@dataclass(frozen=True, slots=True)
class SentTokens:
    """Sums so far; `padded` includes the real ones."""

    real: float
    padded: float


def sent_tokens(page: str, *, model: str) -> SentTokens | None:
    """Read from a page of metrics; None where it does not have them for this model."""
    found = {
        sample.name: sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
        if sample.name in (REAL, PADDED) and sample.labels.get("model") == model
    }
    return SentTokens(found[REAL], found[PADDED]) if len(found) == 2 else None


def padding_ratio(before: SentTokens | None, after: SentTokens | None) -> float | None:
    """Computed tokens for each real one between two readings, 1.0 without padding; None where nothing was sent."""
    if before is None or after is None or after.real <= before.real:
        return None
    return (after.padded - before.padded) / (after.real - before.real)


async def read_sent_tokens(target: Target, *, model: str) -> SentTokens | None:
    """None where the server does not show any."""
    try:
        connection = await target.connect()
        try:
            status, body = await connection.answer(target.page("/metrics"))
            return sent_tokens(body.decode(), model=model) if status == 200 else None
        finally:
            connection.close()
    except NETWORK_FAULTS:
        return None
