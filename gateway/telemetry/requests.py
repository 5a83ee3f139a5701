"""What is learned about one HTTP request on its way, gathered in one place for its log line and its metrics."""

from __future__ import annotations

import time
from collections.abc import MutableMapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from gateway.types import StageSeconds

_SCOPE_KEY = "gateway.request"
_CURRENT_ID: ContextVar[str | None] = ContextVar("request_id", default=None)

Scope = MutableMapping[str, Any]


@dataclass(slots=True)
class RequestRecord:
    """Facts about one request: numbers and names from fixed sets, never its content.

    `dialect` is the API that a request on a path of several turned out to be of, "" elsewhere.
    `route` and `model` become metric labels, so only a route's own name and a served model's own name go in.
    `started` is a reading of `time.perf_counter()`. `status` is None until the answer starts; 499 when nobody waits.
    """

    request_id: str
    route: str = "none"
    dialect: str = ""
    model: str = ""
    status: int | None = None
    error_code: str | None = None
    inputs: int = 0
    tokens: int = 0
    stages: StageSeconds | None = None
    started: float = field(default_factory=time.perf_counter)

    def seconds(self) -> float:
        """Time since the request's headers were read, in seconds."""
        return time.perf_counter() - self.started


def attach_record(scope: Scope, record: RequestRecord) -> None:
    """Hang `record` on an ASGI scope, to be found by `record_of`, and its id on all that runs for the request from now
    on, to be found by `current_request_id`."""
    scope[_SCOPE_KEY] = record
    _CURRENT_ID.set(record.request_id)


def current_request_id() -> str | None:
    """The id of the request that the caller runs for; None where it runs for none."""
    return _CURRENT_ID.get()


def record_of(scope: Scope) -> RequestRecord:
    """The record of this request; a detached one where no middleware made one (an app under test)."""
    record: RequestRecord | None = scope.get(_SCOPE_KEY)
    return RequestRecord(request_id="") if record is None else record
