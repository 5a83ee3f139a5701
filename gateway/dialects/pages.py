"""Small answers to GET requests, as bare ASGI endpoints."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import orjson
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from gateway.telemetry.requests import record_of


class Page:
    """Answers with what `answer` makes of the scope; `route` is its name in metrics and log lines."""

    def __init__(self, route: str, answer: Callable[[Scope], Response]) -> None:
        self._route = route
        self._answer = answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        record_of(scope).route = self._route
        await self._answer(scope)(scope, receive, send)


def json_response(content: Any, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return Response(orjson.dumps(content), status_code=status, headers=headers, media_type="application/json")
