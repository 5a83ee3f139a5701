"""One HTTP/1.1 connection over a blocking socket: in one query's latency an event loop's turns would count."""

from __future__ import annotations

import socket

RECEIVE_BYTES = 1 << 16
LENGTH = b"\r\ncontent-length:"


class BlockingConnection:
    """Keep-alive, no delay before small packets. Answers have to carry Content-Length."""

    def __init__(self, host: str, port: int, *, timeout_seconds: float) -> None:
        """Raises `OSError` where nothing listens."""
        self._socket = socket.create_connection((host, port), timeout=timeout_seconds)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def answer(self, request: bytes) -> tuple[int, bytes]:
        """Send one request and return the answer's status and body, whatever they are.

        Raises `OSError` for a connection that ends or takes too long, `ValueError` for an answer without a length.
        """
        self._socket.sendall(request)
        received = self._more(b"")
        while (end := received.find(b"\r\n\r\n")) < 0:
            received = self._more(received)
        head, body = received[: end + 2].lower(), received[end + 4 :]
        at = head.find(LENGTH)
        if not head.startswith(b"http/1.") or at < 0:
            raise ValueError("the answer is no HTTP/1.1 with a length")
        length = int(head[at + len(LENGTH) : head.index(b"\r", at + 2)])
        while len(body) < length:
            body = self._more(body)
        return int(head[9:12]), body

    def _more(self, received: bytes) -> bytes:
        part = self._socket.recv(RECEIVE_BYTES)
        if not part:
            raise ConnectionError("the server closed the connection")
        return received + part

    def close(self) -> None:
        self._socket.close()
