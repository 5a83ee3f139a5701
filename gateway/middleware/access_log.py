"""One log line a request: what was asked for, what came of it and where the time went. Never what was in it."""

from __future__ import annotations

from typing import Any

import structlog
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.telemetry.requests import RequestRecord, record_of

# Probes and scrapers come every second or so, and a browser loads a page's files by the dozen; their successes would
# drown the rest.
_QUIET_ROUTES = frozenset({"live", "ready", "health", "metrics", "page_asset"})


class AccessLog:
    """Logs every answered request; successful probes at debug level, server faults at error level."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._log: Any = None
        self._bound_for: object = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            await self._app(scope, receive, send)
        finally:
            self._write(scope["method"], record_of(scope))

    def _write(self, method: str, record: RequestRecord) -> None:
        log = self._bound_log()
        status = record.status or 500
        if status >= 500 and status != 503:
            log.error("request", **_facts(method, record, status))
        elif record.route in _QUIET_ROUTES:
            log.debug("request", **_facts(method, record, status))
        else:
            log.info("request", **_facts(method, record, status))

    def _bound_log(self) -> Any:
        """Bound anew only when logging is set up anew: binding for every line, as structlog does where it is not told
        that the setup stays, takes as long as writing the line."""
        processors = structlog.get_config()["processors"]
        if processors is not self._bound_for:
            self._log = structlog.get_logger("gateway.access").bind()
            self._bound_for = processors
        return self._log


def _facts(method: str, record: RequestRecord, status: int) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "method": method[:16],
        "route": record.route,
        "status": status,
        "milliseconds": round(record.seconds() * 1000, 2),
    }
    if record.model:
        facts |= {"model": record.model, "inputs": record.inputs, "tokens": record.tokens}
    stages = record.stages
    if stages is not None:
        if stages.images:
            facts["images_ms"] = round(stages.images * 1000, 2)
        facts["tokenize_ms"] = round(stages.tokenize * 1000, 2)
        facts["queue_ms"] = round(stages.queue * 1000, 2)
        facts["infer_ms"] = round(stages.infer * 1000, 2)
    if record.error_code is not None:
        facts["code"] = record.error_code
    return facts
