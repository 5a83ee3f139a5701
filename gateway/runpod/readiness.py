"""Waits until every model has proved itself with its known vector: a job that is taken earlier would only wait."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from gateway.dialects.base import Health, HealthReport
from gateway.errors import SetupError

POLL_SECONDS = 0.1
TELL_SECONDS = 10.0
# Loading is over by then: what is left is the tokenizer and one short text.
PATIENCE_SECONDS = 600.0
# A model that does not give its vector may be asked again while its process is being restarted.
GRACE_SECONDS = 15.0

_HOPELESS = ("wrong_vectors", "faulty")


async def until_ready(
    health: Health, *, tell: Callable[[str], None], patience_seconds: float = PATIENCE_SECONDS
) -> None:
    """Returns once the gateway is ready; `tell` gets a line now and then. Raises `SetupError` when it will not be."""
    begin = told = time.monotonic()
    hopeless_since: float | None = None
    while not (report := health.report()).ready:
        now = time.monotonic()
        hopeless_since = (hopeless_since or now) if _is_hopeless(report) else None
        if now - begin > patience_seconds or (hopeless_since is not None and now - hopeless_since > GRACE_SECONDS):
            raise _not_ready(report)
        if now - told > TELL_SECONDS:
            told = now
            tell(f"not ready after {now - begin:.0f} s: {_reason(report)}")
        await asyncio.sleep(POLL_SECONDS)


def _is_hopeless(report: HealthReport) -> bool:
    return any(model.state in _HOPELESS for model in report.models.values())


def _reason(report: HealthReport) -> str:
    reasons = [f"{name}: {one.reason or one.state}" for name, one in report.models.items() if one.state != "not_loaded"]
    return report.reason or " ".join(reasons) or "no model is loaded"


def _not_ready(report: HealthReport) -> SetupError:
    return SetupError(
        f"The model did not prove itself, so no job is taken. {_reason(report)}",
        remedy="`gateway doctor` looks for the cause; `gateway models pull NAME --verify` mends damaged files.",
        code="not_ready",
    )
