"""Connections to addresses that were checked: a name is resolved once a connection, every address it has is judged, and
one of these very addresses is dialled, so that a name server that changes its mind changes nothing.

TLS and the `Host` header go on using the name.
"""

# ruff: noqa: ARG002 - the interface is httpcore's; what to connect to is known already

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from ipaddress import ip_address
from typing import Any

import httpcore

from gateway.images.addresses import Address
from gateway.images.careful_stream import CarefulStream
from gateway.images.url_policy import Target

Resolve = Callable[[str, int], Awaitable[list[Address]]]
"""All addresses of a host's name, for a port. Raises `OSError` where it has none."""

# A lookup cannot be called off: a name whose server never answers keeps its thread for as long as the system asks, up
# to half a minute, though the request that wanted it has long gone. So there may be far more of them than fetches.
_MOST_LOOKUPS = 64
# Of a host with many addresses no more than these are tried, each for so long.
_MOST_DIALLED = 4
_DIAL_SECONDS = 3.0


class RefusedAddress(Exception):
    """The host stands for an address that nothing may be fetched from."""


class SystemResolver:
    """Asks the system, in a thread for each question: a name server that never answers holds up none of the gateway's
    other threads, and not its end either, as those of an executor would."""

    def __init__(self) -> None:
        self._under_way = 0

    async def __call__(self, host: str, port: int) -> list[Address]:
        if self._under_way >= _MOST_LOOKUPS:
            raise OSError("too many names are being looked up")
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[list[Address]] = loop.create_future()

        def settle(found: list[Address] | None) -> None:
            self._under_way -= 1
            if answer.done():
                return
            if found is None:
                answer.set_exception(OSError("no name"))
            else:
                answer.set_result(found)

        def ask() -> None:
            try:
                found = _addresses(host, port)
            except (OSError, UnicodeError):
                found = None
            with suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(settle, found)

        threading.Thread(target=ask, name="image-name", daemon=True).start()
        self._under_way += 1
        return await answer


def _addresses(host: str, port: int) -> list[Address]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    # An IPv6 entry has four parts, whose last is a zone; a zone is only ever link-local, and the address says so too.
    return list(dict.fromkeys(ip_address(str(entry[4][0])) for entry in found))


class CheckedBackend(httpcore.AsyncNetworkBackend):
    """Connects for one `Target` and to nowhere else."""

    def __init__(self, target: Target, resolve: Resolve, network: httpcore.AsyncNetworkBackend) -> None:
        self._target = target
        self._resolve = resolve
        self._network = network

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's interface; the fetch as a whole has a deadline
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Raises `RefusedAddress`, and `OSError` or httpcore's errors where nobody answers."""
        target = self._target
        addresses = [target.address] if target.address is not None else await self._resolve(target.host, target.port)
        if not addresses or not all(map(target.admits, addresses)):
            raise RefusedAddress
        failure: Exception = RefusedAddress()
        for address in addresses[:_MOST_DIALLED]:
            try:
                stream = await self._network.connect_tcp(str(address), target.port, timeout=_DIAL_SECONDS)
                return CarefulStream(stream)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure

    async def connect_unix_socket(self, *args: object, **kwargs: object) -> httpcore.AsyncNetworkStream:
        raise RefusedAddress

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
