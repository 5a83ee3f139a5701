"""uvicorn's h11 protocol with what it lacks at the edge of a network: limits for the time and the size of a request's
headers and for the patience with a client that does not read, and this project's envelope and request id on the answer
to something that is not HTTP.

h11 rather than httptools: JDK clients offer `Upgrade: h2c` with their first POST, and httptools then loses its body.
"""

from __future__ import annotations

import asyncio
import secrets
from typing import Any

import h11
import orjson
from uvicorn.protocols.http.h11_impl import STATUS_PHRASES, H11Protocol

# h11 measures headers only while they are incomplete, so what comes in one piece has to be handed to it in small ones.
_HEADER_PIECE_BYTES = 4 * 1024


class GuardedH11Protocol(H11Protocol):
    """One connection. Whoever needs more than `header_timeout_seconds` for a request's headers is cut off, and so is
    whoever reads nothing of an answer for `read_timeout_seconds`: it would keep answer and connection for ever."""

    header_timeout_seconds = 10.0
    read_timeout_seconds = 60.0

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._header_timer: asyncio.TimerHandle | None = None
        self._read_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._watch_headers()

    def data_received(self, data: bytes) -> None:
        while len(data) > _HEADER_PIECE_BYTES and self.conn.their_state is h11.IDLE:
            super().data_received(data[:_HEADER_PIECE_BYTES])
            data = data[_HEADER_PIECE_BYTES:]
        if self.conn.their_state is h11.ERROR:
            return
        super().data_received(data)
        if self.conn.their_state is not h11.IDLE:
            self._stop_watching()
        elif self._header_timer is None:
            self._watch_headers()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_watching()
        self._stop_waiting_for_reader()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """Called by the transport when the client has fallen behind."""
        super().pause_writing()
        self._wait_for_reader()

    def resume_writing(self) -> None:
        self._stop_waiting_for_reader()
        super().resume_writing()

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

    def _wait_for_reader(self) -> None:
        unsent = self.transport.get_write_buffer_size()
        self._read_timer = self.loop.call_later(self.read_timeout_seconds, self._look_at_reader, unsent)

    def _look_at_reader(self, unsent_before: int) -> None:
        if self.transport.get_write_buffer_size() < unsent_before:
            self._wait_for_reader()
        else:
            self._read_timer = None
            self.transport.abort()

    def _stop_waiting_for_reader(self) -> None:
        if self._read_timer is not None:
            self._read_timer.cancel()
            self._read_timer = None

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
