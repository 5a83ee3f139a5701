"""Bounds what a request body may cost: its size, declared or not, its encoding, and the time it takes to arrive.

Starlette's own limit answers in plain text and knows neither encodings nor slow clients, hence this one.
"""

from __future__ import annotations

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.errors import BodyTooLarge, BodyTooSlow, MalformedBody, UnsupportedBody
from gateway.middleware.discarding import Discard, allow_discard
from gateway.telemetry.connections import Connection, connection_of

# Of a refused body as much again and then some is read, so that its sender gets to the answer; more is not worth it.
_DISCARDED_PER_LIMIT = 4
_ABOUT_THE_BODY = frozenset({b"content-length", b"transfer-encoding", b"content-encoding"})


class BodyLimit:
    """Raises, from here or from the `receive` it hands on, before more than `max_body_bytes` are held."""

    def __init__(self, app: ASGIApp, *, max_body_bytes: int, body_timeout_seconds: float) -> None:
        self._app = app
        self._max_body_bytes = max_body_bytes
        self._body_timeout_seconds = body_timeout_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        body = _BoundedBody(
            receive,
            connection_of(scope),
            max_body_bytes=self._max_body_bytes,
            timeout_seconds=self._body_timeout_seconds,
        )
        try:
            self._check_headers(scope["headers"])
            await self._app(scope, body.receive, send)
        except (BodyTooLarge, UnsupportedBody):
            self._let_the_rest_come(scope, body)
            raise

    def _let_the_rest_come(self, scope: Scope, body: _BoundedBody) -> None:
        max_bytes = _DISCARDED_PER_LIMIT * self._max_body_bytes
        declared = next((value for name, value in scope["headers"] if name == b"content-length"), b"")
        if not body.is_complete and not _declares_more_than(declared, max_bytes):
            allow_discard(scope, Discard(max_bytes=max_bytes, timeout_seconds=self._body_timeout_seconds))

    def _check_headers(self, headers: list[tuple[bytes, bytes]]) -> None:
        about_the_body = [header for header in headers if header[0] in _ABOUT_THE_BODY]
        if len(about_the_body) > 1 and {b"content-length", b"transfer-encoding"} <= dict(about_the_body).keys():
            # A proxy that believes the one while we believe the other would let a second request through unseen.
            raise MalformedBody("Give the body's length by `Content-Length` or by `Transfer-Encoding`, not by both.")
        for name, value in about_the_body:
            if name == b"content-length" and _declares_more_than(value, self._max_body_bytes):
                raise too_large(self._max_body_bytes)
            if name == b"content-encoding" and value.strip().lower() not in (b"", b"identity"):
                raise UnsupportedBody("Compressed request bodies are not read here. Send the body without encoding it.")


class _BoundedBody:
    """One request's `receive`, counting and timing until the body is complete; later calls wait for a disconnect."""

    __slots__ = (
        "_connection",
        "_deadline",
        "_max_body_bytes",
        "_receive",
        "_received_bytes",
        "_timeout_seconds",
        "is_complete",
    )

    def __init__(
        self, receive: Receive, connection: Connection | None, *, max_body_bytes: int, timeout_seconds: float
    ) -> None:
        self._receive = receive
        self._connection = connection
        self._max_body_bytes = max_body_bytes
        self._timeout_seconds = timeout_seconds
        self._received_bytes = 0
        self.is_complete = False
        self._deadline: float | None = None

    async def receive(self) -> Message:
        if self.is_complete:
            return await self._receive()
        if self._connection is not None and self._connection.has_whole_body:  # no timer for what waits for nobody
            message = await self._receive()
        else:
            message = await self._receive_in_time()
        self.is_complete = message["type"] != "http.request" or not message.get("more_body", False)
        self._received_bytes += len(message.get("body", b""))
        if self._received_bytes > self._max_body_bytes:
            raise too_large(self._max_body_bytes)
        return message

    async def _receive_in_time(self) -> Message:
        if self._deadline is None:
            self._deadline = asyncio.get_running_loop().time() + self._timeout_seconds
        try:
            async with asyncio.timeout_at(self._deadline):
                return await self._receive()
        except TimeoutError:
            raise BodyTooSlow(
                f"The request body did not arrive within {self._timeout_seconds:g} seconds. Send it faster or smaller."
            ) from None


def too_large(max_body_bytes: int) -> BodyTooLarge:
    """The refusal of a body beyond the limit, with the way out."""
    return BodyTooLarge(
        f"The request body is larger than the limit of {max_body_bytes} bytes. Send fewer inputs per request, "
        "or let the operator raise GATEWAY_MAX_BODY_BYTES."
    )


def _declares_more_than(content_length: bytes, limit: int) -> bool:
    digits = content_length.strip()
    # Longer than any limit: `int` of an endless number is not worth its time.
    return digits.isdigit() and (len(digits) > 18 or int(digits) > limit)
