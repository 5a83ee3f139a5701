"""A lean HTTP/1.1 load client, so that a Python client costs the machine under test as little as it can.

Own code because general HTTP clients spend more processor time on a request than the gateway does, on the same cores.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LoadResult:
    """`seconds` is the wall time of the whole run; `latencies` holds one entry per answered request, in seconds."""

    requests: int
    seconds: float
    latencies: tuple[float, ...]

    @property
    def per_second(self) -> float:
        return self.requests / self.seconds


class Connection:
    """One keep-alive connection; answers must carry Content-Length."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, host: str, port: int) -> Connection:
        return cls(*await asyncio.open_connection(host, port, limit=64 * 1024 * 1024))

    async def exchange(self, request: bytes) -> bytes:
        """Send one request and return the answer's body; anything but a 200 ends the benchmark."""
        status, body = await self.answer(request)
        if status != 200:
            raise RuntimeError(f"the gateway answered {status}")
        return body

    async def answer(self, request: bytes) -> tuple[int, bytes]:
        """Send one request and return the answer's status and body, whatever they are."""
        self.send(request)
        head = await self._reader.readuntil(b"\r\n\r\n")
        start = head.lower().index(b"content-length:") + len(b"content-length:")
        body = await self._reader.readexactly(int(head[start : head.index(b"\r", start)]))
        return int(head.split(b" ", 2)[1]), body

    def send(self, request: bytes) -> None:
        """Send without waiting for the answer."""
        self._writer.write(request)

    def close(self) -> None:
        self._writer.close()


def post(path: str, body: bytes, *, host: str) -> bytes:
    """A whole request, ready to be sent over and over."""
    return (
        f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode() + body


async def run_load(requests: Sequence[bytes], *, host: str, port: int, clients: int, seconds: float) -> LoadResult:
    """`clients` connections, each sending its next request when the last is answered, for `seconds`."""
    turns = itertools.cycle(requests)
    latencies: list[float] = []
    begin = time.perf_counter()
    end = begin + seconds

    async def client() -> None:
        connection = await Connection.open(host, port)
        try:
            while (sent := time.perf_counter()) < end:
                await connection.exchange(next(turns))
                latencies.append(time.perf_counter() - sent)
        finally:
            connection.close()

    await asyncio.gather(*(client() for _ in range(clients)))
    return LoadResult(requests=len(latencies), seconds=time.perf_counter() - begin, latencies=tuple(latencies))
