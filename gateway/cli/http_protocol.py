"""uvicorn's h11 protocol with the two things it lacks at the edge of a network: a time limit for request headers, and
this project's envelope and request id on the answer to something that is not HTTP.

h11 rather than httptools: JDK clients offer `Upgrade: h2c` with their first POST, and httptools then loses its body.
"""

from __future__ import annotations

import asyncio
import secrets
from typing import Any

import h11
import orjson
from uvicorn.protocols.http.h11_impl import STATUS_PHRASES, H11Protocol


class GuardedH11Protocol(H11Protocol):
    """One connection. Whoever needs more than `header_timeout_seconds` for a request's headers is cut off."""

    header_timeout_seconds = 10.0

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._header_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._watch_headers()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.conn.their_state is not h11.IDLE:
            self._stop_watching()
        elif self._header_timer is None:
            self._watch_headers()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_watching()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        """As uvicorn's, in OpenAI's envelope; just hangs up where an answer is under way already."""
        if self.conn.our_state not in (h11.IDLE, h11.SEND_RESPONSE) or (self.cycle and self.cycle.response_started):
            self.transport.close()
            return
        body = _not_http_body(msg)
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(body)),
            (b"x-request-id", secrets.token_hex(16).encode("ascii")),
            (b"connection", b"close"),
        ]
        for event in (
            h11.Response(status_code=400, headers=headers, reason=STATUS_PHRASES[400]),
            h11.Data(data=body),
            h11.EndOfMessage(),
        ):
            self.transport.write(self.conn.send(event))
        self.transport.close()

    def _unsupported_upgrade_warning(self) -> None:
        """An offer to upgrade may be ignored; it is no reason for a warning per request."""

    def _watch_headers(self) -> None:
        self._header_timer = self.loop.call_later(self.header_timeout_seconds, self._give_up_on_headers)

    def _stop_watching(self) -> None:
        if self._header_timer is not None:
            self._header_timer.cancel()
            self._header_timer = None

    def _give_up_on_headers(self) -> None:
        self._header_timer = None
        if not self.transport.is_closing():
            self.transport.close()


def guarded_protocol(*, header_timeout_seconds: float) -> type[GuardedH11Protocol]:
    """The protocol class for uvicorn's `http=`, which takes a class and no options."""
    return type("ConfiguredH11Protocol", (GuardedH11Protocol,), {"header_timeout_seconds": header_timeout_seconds})


def _not_http_body(message: str) -> bytes:
    error = {"message": message, "type": "invalid_request_error", "param": None, "code": "malformed_request"}
    return orjson.dumps({"error": error, "detail": message})
