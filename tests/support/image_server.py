"""Web servers on loopback that answer as a test says, and a network that leads to them."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from ipaddress import ip_address
from types import TracebackType
from typing import Any

import httpcore

from gateway.images.addresses import Address

Answer = bytes | Callable[[asyncio.StreamWriter], Awaitable[None]]

PUBLIC_ADDRESS = "93.184.215.14"


class ImageServer:
    """Answers each path by what `answers` has for it, raw. Counts its connections, and keeps the requests' heads."""

    def __init__(self, answers: Mapping[str, Answer] | None = None, *, tls: ssl.SSLContext | None = None) -> None:
        self.answers: dict[str, Answer] = dict(answers or {})
        self.connections = 0
        self.requests: list[str] = []
        self._tls = tls
        self._serving: set[asyncio.Task[object]] = set()

    @property
    def port(self) -> int:
        return int(self._server.sockets[0].getsockname()[1])

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    async def __aenter__(self) -> ImageServer:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._tls)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.close()
        for serving in self._serving:
            serving.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        serving = asyncio.current_task()
        assert serving is not None
        self._serving.add(serving)
        # Cancelled it just ends: asyncio would log a cancelled server task as an error.
        with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            await self._answer(reader, writer)
        writer.close()
        with suppress(OSError, asyncio.CancelledError):
            await writer.wait_closed()
        self._serving.discard(serving)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        self.requests.append(head)
        answer = self.answers.get(head.split(" ")[1], response(b"none", status=404))
        if isinstance(answer, bytes):
            writer.write(answer)
            await writer.drain()
        else:
            await answer(writer)


def response(body: bytes, *headers: str, status: int = 200, length: int | None = None) -> bytes:
    lines = [f"HTTP/1.1 {status} So", f"Content-Length: {len(body) if length is None else length}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


def redirect(location: str, *, status: int = 302) -> bytes:
    return b"HTTP/1.1 %d Over\r\nContent-Length: 0\r\nLocation: " % status + location.encode() + b"\r\n\r\n"


class LoopbackNetwork(httpcore.AsyncNetworkBackend):
    """Leads `PUBLIC_ADDRESS` to one server on loopback, and every other address, whatever the port, to another one:
    what should not be dialled is seen there. Keeps what was dialled."""

    def __init__(self, *, public_port: int, canary_port: int) -> None:
        self._ports = {PUBLIC_ADDRESS: public_port}
        self._canary_port = canary_port
        self._network = httpcore.AnyIOBackend()
        self.dialled: list[str] = []

    async def connect_tcp(self, host: str, port: int, **options: Any) -> httpcore.AsyncNetworkStream:
        self.dialled.append(host)
        return await self._network.connect_tcp("127.0.0.1", self._ports.get(host, self._canary_port), **options)


class ScriptedResolver:
    """Names' addresses by a table. With several answers each question takes the next one, and the last one stays."""

    def __init__(self, names: Mapping[str, list[list[str]]]) -> None:
        self._names = {name: list(answers) for name, answers in names.items()}
        self.asked: list[str] = []

    async def __call__(self, host: str, port: int) -> list[Address]:
        self.asked.append(host)
        answers = self._names.get(host)
        if answers is None:
            raise OSError("no such name")
        return [ip_address(text) for text in (answers.pop(0) if len(answers) > 1 else answers[0])]
