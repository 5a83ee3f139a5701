"""A connection to a server that a stranger chose, read so that it cannot keep the event loop busy: parsing what has
been read goes on without a pause, so as long as a head may still come little is read at a time, and not without end."""

from __future__ import annotations

import ssl
from typing import Any

import httpcore

# What servers send before a body; also what informational answers and early hints come to.
_MOST_HEAD_BYTES = 64 * 1024
# Of the shortest answers ("HTTP/1.1 100 Continue") so many are parsed in 5 ms.
_BYTES_A_READ = 4 * 1024


class CarefulStream(httpcore.AsyncNetworkStream):
    """Reads a head of bounded size, then, once `head_is_read` was called, whatever comes."""

    def __init__(self, stream: httpcore.AsyncNetworkStream) -> None:
        self._stream = stream
        self._is_in_head = True
        self._head_bytes = 0

    def head_is_read(self) -> None:
        self._is_in_head = False

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109 - httpcore's interface
        """Raises `httpcore.ReadError` for a head that does not end."""
        if not self._is_in_head:
            return await self._stream.read(max_bytes, timeout)
        if self._head_bytes >= _MOST_HEAD_BYTES:
            raise httpcore.ReadError("the head of the answer does not end")
        content = await self._stream.read(min(max_bytes, _BYTES_A_READ), timeout)
        self._head_bytes += len(content)
        return content

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109
        await self._stream.write(buffer, timeout)

    async def aclose(self) -> None:
        await self._stream.aclose()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109
    ) -> httpcore.AsyncNetworkStream:
        """The same stream, which speaks TLS from now on."""
        self._stream = await self._stream.start_tls(ssl_context, server_hostname, timeout)
        return self

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)
