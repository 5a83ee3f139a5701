"""The gateway on a real socket: uvicorn as `gateway serve` sets it up, in a thread, on a free loopback port."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from starlette.types import ASGIApp

from gateway.cli.serve import build_server, listener
from gateway.settings import Settings


@dataclass(frozen=True)
class LiveServer:
    host: str
    port: int

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    def wait_until_ready(self, timeout_seconds: float = 30.0) -> None:
        """Until `/ready` is 200."""
        probe = b"GET /ready HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n"
        _wait_until(lambda: status_of(self.exchange(probe)) == 200, timeout_seconds)

    def connect(self, timeout_seconds: float = 20.0) -> socket.socket:
        return socket.create_connection((self.host, self.port), timeout=timeout_seconds)

    def exchange(self, request: bytes, timeout_seconds: float = 20.0) -> bytes:
        """Send raw bytes, read until the server closes."""
        with self.connect(timeout_seconds) as connection:
            with suppress(BrokenPipeError, ConnectionResetError):  # it may refuse before it has read all
                connection.sendall(request)
            return read_to_end(connection)


def read_to_end(connection: socket.socket) -> bytes:
    """Everything until the peer closes; a reset counts as a close."""
    received = bytearray()
    try:
        while chunk := connection.recv(65536):
            received += chunk
    except ConnectionResetError:
        pass
    return bytes(received)


def status_of(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


@contextmanager
def live_server(settings: Settings, app: ASGIApp) -> Iterator[LiveServer]:
    """Serves until the block ends; fails if it is not up within 20 s."""
    with listener("127.0.0.1", 0) as bound:
        server = build_server(settings, app)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]}, daemon=True)
        thread.start()
        try:
            _wait_until(lambda: server.started or not thread.is_alive())
            assert server.started, "the server did not start"
            host, port = bound.getsockname()[:2]
            yield LiveServer(host=host, port=port)
        finally:
            server.should_exit = True
            thread.join(20)


def _wait_until(condition: Callable[[], bool], timeout_seconds: float = 20.0) -> None:
    deadline = time.monotonic() + timeout_seconds
    while not condition():
        assert time.monotonic() < deadline, "timed out"
        time.sleep(0.01)
