"""One HTTP/1.1 connection of a load client, so lean that it costs the machine under test as little as it can.

Own code because general HTTP clients spend more processor time on a request than the gateway does, on the same cores.
"""

from __future__ import annotations

import asyncio

MAX_HEAD_BYTES = 64 * 1024 * 1024


class Connection:
    """A keep-alive connection. `closing` says that the server will not read another request on it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.closing = False

    @classmethod
    async def open(cls, host: str, port: int, *, tls: bool = False) -> Connection:
        return cls(*await asyncio.open_connection(host, port, limit=MAX_HEAD_BYTES, ssl=tls or None))

    async def exchange(self, request: bytes) -> bytes:
        """Send one request and return the answer's body. Raises `RuntimeError` for anything but a 200."""
        status, body = await self.answer(request)
        if status != 200:
            raise RuntimeError(f"the server answered {status}")
        return body

    async def answer(self, request: bytes) -> tuple[int, bytes]:
        """Send one request and return the answer's status and body, whatever they are.

        Raises `OSError` or `EOFError` for a connection that ends before the answer does, `ValueError` for what is no
        answer of HTTP/1.1.
        """
        self.send(request)
        head = await self._reader.readuntil(b"\r\n\r\n")
        status, fields = _status(head), head.lower()
        self.closing = b"\r\nconnection: close" in fields
        length = _field(fields, b"content-length")
        if length is not None:
            body = await self._reader.readexactly(int(length))
        elif b"chunked" in (_field(fields, b"transfer-encoding") or b""):
            body = await self._chunks()
        else:
            self.closing = True
            body = await self._reader.read()
        return status, body

    async def _chunks(self) -> bytes:
        body = bytearray()
        while size := int((await self._reader.readline()).partition(b";")[0], 16):
            body += await self._reader.readexactly(size)
            await self._reader.readline()
        while (await self._reader.readline()).strip():
            pass
        return bytes(body)

    def send(self, request: bytes) -> None:
        """Send without waiting for the answer."""
        self._writer.write(request)

    def close(self) -> None:
        self._writer.close()


def _status(head: bytes) -> int:
    if not head.startswith(b"HTTP/1."):
        raise ValueError("the server does not speak HTTP/1.1")
    return int(head[9:12])


def _field(head: bytes, name: bytes) -> bytes | None:
    """A field's value in a head in lower case."""
    found = head.find(b"\r\n" + name + b":")
    if found < 0:
        return None
    start = found + len(name) + 3
    return head[start : head.index(b"\r", start)].strip()


def post(path: str, body: bytes, *, host: str, key: str | None = None) -> bytes:
    """A whole request, ready to be sent over and over; `key` goes into `Authorization: Bearer`."""
    authorization = f"Authorization: Bearer {key}\r\n" if key else ""
    head = f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n{authorization}"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def get(path: str, *, host: str, key: str | None = None) -> bytes:
    """A whole request without a body."""
    authorization = f"Authorization: Bearer {key}\r\n" if key else ""
    return f"GET {path} HTTP/1.1\r\nHost: {host}\r\n{authorization}\r\n".encode()
