"""Who takes part in a run, and how each is put under the loads that all of them get."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from gateway.bench import ceiling as in_process
from gateway.bench import direct as over_grpc
from gateway.bench.ceiling import Ceiling
from gateway.bench.closed_loop import closed_loop
from gateway.bench.direct import Direct
from gateway.bench.measurement import Generator, Load
from gateway.bench.target import Target, is_own, vectors
from gateway.bench.workloads import ClosedLoad
from gateway.types import Float32Array


class Contender(Protocol):
    """One of those that are compared. Calls block."""

    @property
    def name(self) -> str: ...

    @property
    def generator(self) -> Generator: ...

    @property
    def server_pid(self) -> int | None:
        """The process whose processor time, with all below it, is the server's; None where there is none or it is not
        known."""
        ...

    def embed(self, texts: Sequence[str]) -> Float32Array:
        """float32 [texts, dimensions], for the parity check. Raises `RuntimeError` or `ValueError` where it gives
        none."""
        ...

    def under(self, load: ClosedLoad, *, seconds: float) -> Load: ...


@dataclass(frozen=True, slots=True)
class CeilingContender:
    ceiling: Ceiling
    name: str = in_process.NAME
    generator: Generator = Generator.IN_PROCESS
    server_pid: int | None = None

    def embed(self, texts: Sequence[str]) -> Float32Array:
        return self.ceiling.embed(texts)

    def under(self, load: ClosedLoad, *, seconds: float) -> Load:
        return self.ceiling.throughput(load.texts, seconds=seconds)


@dataclass(frozen=True, slots=True)
class DirectContender:
    direct: Direct
    server_pid: int | None = None
    name: str = over_grpc.NAME
    generator: Generator = Generator.PYTHON

    def embed(self, texts: Sequence[str]) -> Float32Array:
        return asyncio.run(self.direct.embed(texts))

    def under(self, load: ClosedLoad, *, seconds: float) -> Load:
        return asyncio.run(self.direct.closed_loop(load.requests, clients=load.clients, seconds=seconds))


@dataclass(frozen=True, slots=True)
class HttpContender:
    target: Target
    generator: Generator = Generator.PYTHON

    @property
    def name(self) -> str:
        return self.target.name

    @property
    def server_pid(self) -> int | None:
        return self.target.pid

    def embed(self, texts: Sequence[str]) -> Float32Array:
        async def ask() -> bytes:
            connection = await self.target.connect()
            try:
                return await connection.exchange(self.target.request(texts))
            finally:
                connection.close()

        return vectors(asyncio.run(ask()))

    def under(self, load: ClosedLoad, *, seconds: float) -> Load:
        return asyncio.run(closed_loop(self.target, load.requests, clients=load.clients, seconds=seconds))


@dataclass(frozen=True, slots=True)
class Contest:
    """All of a run. `servers` are those that speak HTTP, the gateway first; `direct` is None where Triton's address is
    not known. `wrk` is the program, None where it is not installed. `model` is the name that metrics have for it.
    `fast` names those of ours that compute in less than the ceiling's precision."""

    model: str
    ceiling: CeilingContender
    direct: DirectContender | None
    servers: tuple[HttpContender, ...]
    wrk: str | None
    fast: frozenset[str] = frozenset()

    def is_by_cosine(self, name: str) -> bool:
        """Who is judged by the cosine: others, whose kernels are not ours, and what is fast."""
        is_ours = name in (in_process.NAME, over_grpc.NAME) or is_own(name)
        return name in self.fast or not is_ours

    @property
    def contenders(self) -> tuple[Contender, ...]:
        return (self.ceiling, *((self.direct,) if self.direct is not None else ()), *self.servers)
