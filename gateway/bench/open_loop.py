"""Callers who do not wait for one another: requests are sent when they are due, however slow the answers are.

Latency counts from the moment that a request was meant to be sent, so a server that stalls cannot hide the wait of
those whom it kept from sending (coordinated omission).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from gateway.bench.closed_loop import NETWORK_FAULTS
from gateway.bench.connection import Connection
from gateway.bench.spread import latency_figures
from gateway.bench.target import Target
from gateway.types import Float64Array

MAX_CONNECTIONS = 256
DRAIN_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class OpenLoad:
    """`latencies` are seconds since the intended moment; those of `unanswered` requests are what they had waited when
    the measurement ended, which is less than the truth."""

    offered: int
    seconds: float
    latencies: Sequence[float]
    unanswered: int
    errors: int

    @property
    def texts(self) -> int:
        return self.offered - self.unanswered - self.errors

    def figures(self) -> dict[str, float]:
        own = {"unanswered": float(self.unanswered), "errors": float(self.errors), "answers": float(self.texts)}
        return own | {"requests_per_second": self.texts / self.seconds} | latency_figures(self.latencies)


@dataclass(slots=True)
class _Caller:
    """Sends over as many connections as are needed, the one used last first."""

    target: Target
    begin: float
    slots: asyncio.Semaphore
    idle: list[Connection] = field(default_factory=list)
    latencies: list[float] = field(default_factory=list)
    errors: int = 0

    async def send(self, request: bytes, due: float) -> None:
        """`due` is in seconds since `begin`."""
        connection: Connection | None = None
        try:
            async with self.slots:
                connection = self.idle.pop() if self.idle else await self.target.connect()
                status, _ = await connection.answer(request)
                if status == 200:
                    self.latencies.append(self.waited(due))
                else:
                    self.errors += 1
                if not connection.closing:
                    self.idle.append(connection)
                    connection = None
        except NETWORK_FAULTS:
            self.errors += 1
        finally:
            if connection is not None:
                connection.close()

    def waited(self, due: float) -> float:
        return time.perf_counter() - self.begin - due


async def open_loop(
    target: Target, texts: Sequence[str], arrivals: Float64Array, *, drain_seconds: float = DRAIN_SECONDS
) -> OpenLoad:
    """One request of one text at each of `arrivals` (seconds since the start, rising), whatever became of the others.

    Ends when all are answered, `drain_seconds` after the last was due at the latest.
    """
    requests = [target.request(text) for text in texts]
    caller = _Caller(target, time.perf_counter(), asyncio.Semaphore(MAX_CONNECTIONS))
    sent: list[tuple[asyncio.Task[None], float]] = []
    try:
        for number, due in enumerate(arrivals.tolist()):
            await asyncio.sleep(max(0.0, caller.begin + due - time.perf_counter()))
            sent.append((asyncio.create_task(caller.send(requests[number % len(requests)], due)), due))
        if sent:
            await asyncio.wait([task for task, _ in sent], timeout=drain_seconds)
    finally:
        for task, _ in sent:
            task.cancel()
        await asyncio.gather(*(task for task, _ in sent), return_exceptions=True)
        for connection in caller.idle:
            connection.close()
    seconds = caller.waited(0.0)
    waiting = [caller.waited(due) for task, due in sent if task.cancelled()]
    return OpenLoad(len(sent), seconds, [*caller.latencies, *waiting], len(waiting), caller.errors)
