"""uvicorn's h11 protocol with what it lacks at the edge of a network: limits for the time and the size of a request's
headers and for the patience with a client that does not read, and this project's envelope and request id on the answer
to something that is not HTTP.

h11 rather than httptools: JDK clients offer `Upgrade: h2c` with their first POST, and httptools then loses its body.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import socket
import struct
import sys
from typing import Any

import h11
import orjson
from uvicorn.protocols.http.h11_impl import STATUS_PHRASES, H11Protocol

if sys.platform == "linux":
    import fcntl
    import termios

# h11 measures headers only while they are incomplete, so what comes in one piece has to be handed to it in small ones.
_HEADER_PIECE_BYTES = 4 * 1024

# Where the server sets no limit of its own: h11's default.
_MAX_HEADER_BYTES = 16 * 1024

# `struct linger`: on, for 0 seconds.
_DROP_WHAT_IS_UNSENT = struct.pack("ii", 1, 0)


class CountingConnection(h11.Connection):
    """h11's connection, which also counts what it gave out to be sent."""

    sent_bytes = 0

    def send(self, event: h11.Event) -> Any:
        output = super().send(event)
        self.sent_bytes += len(output or b"")
        return output


class GuardedH11Protocol(H11Protocol):
    """One connection. Whoever needs more than `header_timeout_seconds` for a request's headers is cut off, and so is
    whoever takes nothing of an answer for `send_timeout_seconds`: it would keep answer and connection for ever."""

    conn: CountingConnection
    header_timeout_seconds = 10.0
    send_timeout_seconds = 30.0

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.conn = CountingConnection(h11.SERVER, self.config.h11_max_incomplete_event_size or _MAX_HEADER_BYTES)
        self._header_timer: asyncio.TimerHandle | None = None
        self._send_timer: asyncio.TimerHandle | None = None

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
        self._stop_watching_reader()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """Called by the transport when the client has fallen behind."""
        super().pause_writing()
        self._stop_watching_reader()
        self._watch_reader()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._watch_reader()

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
        self._watch_reader()
        self.transport.close()

    def _unsupported_upgrade_warning(self) -> None:
        """An offer to upgrade may be ignored; it is no reason for a warning per request."""

    def _watch_headers(self) -> None:
        self._header_timer = self.loop.call_later(self.header_timeout_seconds, self._give_up_on_headers)

    def _stop_watching(self) -> None:
        if self._header_timer is not None:
            self._header_timer.cancel()
            self._header_timer = None

    def _watch_reader(self) -> None:
        untaken = untaken_bytes(self.transport)
        if untaken and self._send_timer is None:
            taken = self.conn.sent_bytes - untaken
            self._send_timer = self.loop.call_later(self.send_timeout_seconds, self._look_at_reader, taken)

    def _look_at_reader(self, taken_before: int) -> None:
        self._send_timer = None
        untaken = untaken_bytes(self.transport)
        if untaken and self.conn.sent_bytes - untaken <= taken_before:
            self._drop_connection()
        else:
            self._watch_reader()

    def _stop_watching_reader(self) -> None:
        if self._send_timer is not None:
            self._send_timer.cancel()
            self._send_timer = None

    def _drop_connection(self) -> None:
        """Also takes from the kernel what it holds for a client that reads nothing."""
        with contextlib.suppress(OSError):
            self.transport.get_extra_info("socket").setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, _DROP_WHAT_IS_UNSENT
            )
        self.transport.abort()

    def _give_up_on_headers(self) -> None:
        self._header_timer = None
        if not self.transport.is_closing():
            self.transport.close()


def guarded_protocol(*, header_timeout_seconds: float, send_timeout_seconds: float) -> type[GuardedH11Protocol]:
    """The protocol class for uvicorn's `http=`, which takes a class and no options."""
    limits = {"header_timeout_seconds": header_timeout_seconds, "send_timeout_seconds": send_timeout_seconds}
    return type("ConfiguredH11Protocol", (GuardedH11Protocol,), limits)


def untaken_bytes(transport: asyncio.Transport) -> int:
    """How many of the bytes written to `transport` its peer has not acknowledged, where the system tells (Linux); else
    those not yet handed to the system, which takes them in steps too coarse to see a slow client read."""
    unsent: int = transport.get_write_buffer_size()
    if sys.platform != "linux":
        return unsent
    waiting = bytearray(4)
    with contextlib.suppress(OSError, ValueError):
        fcntl.ioctl(transport.get_extra_info("socket").fileno(), termios.TIOCOUTQ, waiting)
    return unsent + int.from_bytes(waiting, sys.byteorder)


def _not_http_body(message: str) -> bytes:
    error = {"message": message, "type": "invalid_request_error", "param": None, "code": "malformed_request"}
    return orjson.dumps({"error": error, "detail": message})
