"""One request and its answer, as an ASGI application sees them: `receive`, `send` and what runs around both."""

from __future__ import annotations

import asyncio
import http
import secrets
from collections.abc import Callable
from typing import Protocol

import orjson
import structlog
from starlette.types import ASGIApp, Message, Scope

from gateway.telemetry.connections import attach_connection, detach_connection

# Up to here head and body of an answer are put into one piece: one copy is cheaper than a second system call.
_JOINED_BYTES = 64 * 1024
# A body waits in memory up to here before its sender is made to wait.
_MAX_WAITING_BODY_BYTES = 64 * 1024

_STATUS_LINES = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in http.HTTPStatus}
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_DISCONNECT: Message = {"type": "http.disconnect"}


class Wire(Protocol):
    """What an exchange needs of its connection."""

    def write(self, *pieces: bytes) -> None: ...

    def close(self) -> None: ...

    def hold_back(self) -> None:
        """Read nothing more of the request's body for now."""
        ...

    def read_on(self) -> None: ...

    @property
    def is_full(self) -> bool:
        """Whether the client is behind with reading."""
        ...

    async def drain(self) -> None: ...

    @property
    def default_headers(self) -> list[tuple[bytes, bytes]]: ...

    def answered(self, exchange: Exchange) -> None:
        """The answer is complete."""
        ...


class Exchange:
    """Fed by the connection (`add_body`, `end_body`, `leave`), used by the application that `run` runs.

    Implements `gateway.telemetry.connections.Connection`.
    """

    __slots__ = (
        "_body",
        "_body_bytes",
        "_chunked",
        "_head",
        "_is_started",
        "_left_bytes",
        "_news",
        "_owes_continue",
        "_scope",
        "_taken_to_the_end",
        "_wire",
        "has_whole_body",
        "is_complete",
        "is_gone",
        "keep_alive",
        "when_gone",
    )

    def __init__(self, scope: Scope, wire: Wire, *, keep_alive: bool, owes_continue: bool) -> None:
        self.keep_alive = keep_alive
        self.is_complete = False
        self.is_gone = False
        self.has_whole_body = False
        self.when_gone: Callable[[], None] | None = None
        self._scope = scope
        self._wire = wire
        self._owes_continue = owes_continue
        self._body: list[bytes] = []
        self._body_bytes = 0
        self._taken_to_the_end = False
        self._news: asyncio.Future[None] | None = None
        self._is_started = False
        self._head = b""
        self._chunked = False
        self._left_bytes = 0
        attach_connection(scope, self)

    @property
    def is_started(self) -> bool:
        """Whether the application has begun to answer."""
        return self._is_started

    def add_body(self, data: bytes) -> None:
        if self.is_complete:
            return
        self._body.append(data)
        self._body_bytes += len(data)
        if self._body_bytes > _MAX_WAITING_BODY_BYTES:
            self._wire.hold_back()
        self._tell()

    def end_body(self) -> None:
        self.has_whole_body = True
        self._tell()

    def leave(self) -> None:
        """The client is gone."""
        if self.is_gone:
            return
        self.is_gone = True
        self._tell()
        if self.when_gone is not None and not self.is_complete:
            tell, self.when_gone = self.when_gone, None
            tell()

    def _tell(self) -> None:
        if self._news is not None and not self._news.done():
            self._news.set_result(None)

    async def run(self, app: ASGIApp) -> None:
        try:
            try:
                await app(self._scope, self.receive, self.send)
            except (Exception, asyncio.CancelledError):  # noqa: BLE001 (nothing above would answer)
                structlog.get_logger("gateway.server").exception("the application failed")
            if not (self.is_complete or self.is_gone):
                await self._end()
        finally:  # whatever else ends the task, as a panic in Rust does: its client would wait for ever
            if not (self.is_complete or self.is_gone):
                self._wire.close()
            detach_connection(self._scope)

    async def _end(self) -> None:
        """Where the application left it open."""
        if self._is_started:
            self._wire.close()
            return
        body = fault_body("The gateway failed in a way it did not foresee.", kind="server_error", code="internal_error")
        headers = [*fault_headers(body), (b"connection", b"close")]
        await self.send({"type": "http.response.start", "status": 500, "headers": headers})
        await self.send({"type": "http.response.body", "body": body})

    async def receive(self) -> Message:
        if self._owes_continue and not self.is_gone:
            self._owes_continue = False
            self._wire.write(_CONTINUE)
        while not (self.is_gone or self.is_complete):
            if not self._taken_to_the_end and (self._body or self.has_whole_body):
                return self._take()
            self._wire.read_on()
            if self._news is None or self._news.done():
                self._news = asyncio.get_running_loop().create_future()
            await self._news
        return _DISCONNECT

    def _take(self) -> Message:
        body = b"".join(self._body)
        self._body.clear()
        self._body_bytes = 0
        self._taken_to_the_end = self.has_whole_body
        self._wire.read_on()
        return {"type": "http.request", "body": body, "more_body": not self.has_whole_body}

    async def send(self, message: Message) -> None:
        if self._wire.is_full and not self.is_gone:
            await self._wire.drain()
        if self.is_gone:
            return
        kind = message["type"]
        if not self._is_started and kind == "http.response.start":
            self._start(message["status"], message["headers"])
        elif self._is_started and kind == "http.response.body" and not self.is_complete:
            self._send_body(message.get("body", b""), is_last=not message.get("more_body", False))
        else:
            raise RuntimeError(f"An answer cannot go on with a message of type {kind}.")

    def _start(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        lines = [*self._wire.default_headers, *headers]
        self._chunked = self._scope["method"] != "HEAD" and status not in (204, 304)
        for name, value in headers:
            if name == b"content-length":
                self._left_bytes = int(value) if self._scope["method"] != "HEAD" else 0
                self._chunked = False
            elif name == b"connection" and value.lower() == b"close":
                self.keep_alive = False
        if self._chunked:
            lines.append((b"transfer-encoding", b"chunked"))
        if not self.keep_alive and (b"connection", b"close") not in headers:
            lines.append((b"connection", b"close"))
        head = b"\r\n".join(map(b": ".join, lines))
        if head.count(b"\n") != len(lines) - 1 or head.count(b"\r") != len(lines) - 1 or b"\0" in head:
            raise RuntimeError("A header of the answer holds a line break.")
        self._owes_continue = False
        self._is_started = True
        self._head = b"%b%b\r\n\r\n" % (_STATUS_LINES[status], head)

    def _send_body(self, body: bytes, *, is_last: bool) -> None:
        if self._scope["method"] == "HEAD":
            body = b""
        elif self._chunked:
            body = (b"%x\r\n%b\r\n" % (len(body), body) if body else b"") + (b"0\r\n\r\n" if is_last else b"")
        else:
            self._left_bytes -= len(body)
            if self._left_bytes < 0 or (is_last and self._left_bytes):
                raise RuntimeError("The answer's body is not as long as its content-length says.")
        head, self._head = self._head, b""
        if len(body) <= _JOINED_BYTES:
            self._wire.write(head + body)
        else:
            self._wire.write(head, body)
        if is_last:
            self.is_complete = True
            self.when_gone = None
            self._tell()
            self._wire.answered(self)


def fault_headers(body: bytes) -> list[tuple[bytes, bytes]]:
    """Those of an answer that no application gave."""
    return [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(body)),
        (b"x-request-id", secrets.token_hex(16).encode("ascii")),
    ]


def fault_body(message: str, *, kind: str, code: str) -> bytes:
    """As OpenAI's and Jina's clients read it."""
    error = {"message": message, "type": kind, "param": None, "code": code}
    return orjson.dumps({"error": error, "detail": message})
