"""Clients that take nothing of their answer: found out by what the kernel still holds for them, and dropped."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import sys

if sys.platform == "linux":
    import fcntl
    import termios

# `struct linger`: on, for 0 seconds.
_DROP_WHAT_IS_UNSENT = struct.pack("ii", 1, 0)


class ReaderWatch:
    """Drops one connection when its client takes nothing for `timeout_seconds`: it would keep answer and connection
    for ever. `sent_bytes` is kept by whoever writes to `transport`."""

    def __init__(
        self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop, *, timeout_seconds: float
    ) -> None:
        self.sent_bytes = 0
        self._transport = transport
        self._loop = loop
        self._timeout_seconds = timeout_seconds
        self._timer: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        """From now on, unless a watch is under way, as it is for most of a busy connection's answers."""
        if self._timer is None:
            untaken = untaken_bytes(self._transport)
            if untaken:
                taken = self.sent_bytes - untaken
                self._timer = self._loop.call_later(self._timeout_seconds, self._look, taken)

    def begin_anew(self) -> None:
        self.end()
        self.begin()

    def end(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self, taken_before: int) -> None:
        self._timer = None
        untaken = untaken_bytes(self._transport)
        if untaken and self.sent_bytes - untaken <= taken_before:
            self._drop_connection()
        else:
            self.begin()

    def _drop_connection(self) -> None:
        """Also takes from the kernel what it holds for a client that reads nothing."""
        with contextlib.suppress(OSError):
            self._transport.get_extra_info("socket").setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, _DROP_WHAT_IS_UNSENT
            )
        self._transport.abort()


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
