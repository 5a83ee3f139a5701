"""Turns whatever is raised inside into an answer, once, in the words of the API that the path belongs to."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.errors import GatewayError, NotServing
from gateway.middleware.discarding import ending_after_the_body
from gateway.telemetry.requests import record_of

RenderError = Callable[[str, Exception, str, str], tuple[Response, str]]
"""From a path, what was raised there, the request's id and its record's `dialect` to the answer and its stable code."""

CLIENT_CLOSED_REQUEST = 499

# A smaller body has usually arrived already and costs less to throw away than a new connection.
_KEEP_OPEN_BODY_BYTES = 64 * 1024


class ErrorRendering:
    """Answers every error; logs those nobody meant to raise by type and place, never by message."""

    def __init__(self, app: ASGIApp, *, render_error: RenderError) -> None:
        self._app = app
        self._render_error = render_error
        self._log = structlog.get_logger("gateway.errors")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            await self._app(scope, receive, send)
        except ClientDisconnect:
            record_of(scope).status = CLIENT_CLOSED_REQUEST
        except asyncio.CancelledError:  # only the server cancels a request, when its time to drain is over
            if record_of(scope).status is not None:
                raise
            await self._answer(scope, receive, send, _shutting_down())
        except Exception as error:  # the server must outlive a defect in any one request
            if not isinstance(error, GatewayError | HTTPException):
                self._log.exception("unexpected error")
            if record_of(scope).status is not None:
                raise  # half an answer is out already: only closing the connection tells the client
            await self._answer(scope, receive, send, error)

    async def _answer(self, scope: Scope, receive: Receive, send: Send, error: Exception) -> None:
        record = record_of(scope)
        response, record.error_code = self._render_error(scope["path"], error, record.request_id, record.dialect)
        if body_may_be_on_its_way(scope["headers"]):
            response.headers["connection"] = "close"
        await response(scope, receive, ending_after_the_body(scope, receive, send))


def _shutting_down() -> NotServing:
    return NotServing("The gateway is shutting down. Send the request again.", code="shutting_down")


def body_may_be_on_its_way(headers: list[tuple[bytes, bytes]]) -> bool:
    """Whether keeping the connection would mean reading a large or endless body only to throw it away."""
    given = dict(headers)
    if b"transfer-encoding" in given:
        return True
    length = given.get(b"content-length", b"0")
    return length.isdigit() and (len(length) > 9 or int(length) > _KEEP_OPEN_BODY_BYTES)
