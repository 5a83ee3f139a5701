"""Callers that send their next request when the last one is answered: a server's throughput, and latency under it."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from gateway.bench.connection import Connection
from gateway.bench.measurement import Load
from gateway.bench.target import Target

REQUEST_SECONDS = 60.0
# A server that refuses everything is not to be asked as fast as this process can.
PAUSE_AFTER_ERROR_SECONDS = 0.02

# ValueError is what an answer that is no HTTP/1.1 ends in.
NETWORK_FAULTS = (OSError, EOFError, TimeoutError, ValueError)


@dataclass(slots=True)
class Answers:
    """What came so far; `last` is the last answered request's place and body."""

    texts: int = 0
    errors: int = 0
    latencies: list[float] = field(default_factory=list)
    last: tuple[int, bytes] | None = None
    request_seconds: float = REQUEST_SECONDS


async def closed_loop(
    target: Target,
    requests: Sequence[Sequence[str]],
    *,
    clients: int,
    seconds: float = 0.0,
    beside: asyncio.Task[Load] | None = None,
    request_seconds: float = REQUEST_SECONDS,
) -> Load:
    """`clients` connections take turns through `requests` (texts of each) for `seconds`, or until `beside` is done;
    every client sends at least one, and what was sent is waited for, `request_seconds` at most."""
    prepared = [target.request(texts) for texts in requests]
    places, answers = itertools.cycle(range(len(prepared))), Answers(request_seconds=request_seconds)
    begin = time.perf_counter()

    def is_over() -> bool:
        return time.perf_counter() - begin >= seconds if beside is None else beside.done()

    async def client() -> None:
        connection: Connection | None = None
        try:
            while True:
                place = next(places)
                connection = await ask(target, connection, prepared[place], place, len(requests[place]), answers)
                if connection is None:
                    await asyncio.sleep(PAUSE_AFTER_ERROR_SECONDS)
                if is_over():
                    return
        finally:
            if connection is not None:
                connection.close()

    await asyncio.gather(*(client() for _ in range(clients)))
    place, body = answers.last or (None, b"")
    return Load(answers.texts, time.perf_counter() - begin, answers.latencies, answers.errors, place, body)


async def ask(
    target: Target, connection: Connection | None, request: bytes, place: int, texts: int, answers: Answers
) -> Connection | None:
    """One exchange, counted; the connection if it may be used again."""
    try:
        async with asyncio.timeout(answers.request_seconds):
            connection = connection or await target.connect()
            sent = time.perf_counter()
            status, body = await connection.answer(request)
    except NETWORK_FAULTS:
        status, sent, body = 0, 0.0, b""
    if status != 200:
        answers.errors += 1
        if connection is not None:
            connection.close()
        return None
    answers.latencies.append(time.perf_counter() - sent)
    answers.texts += texts
    answers.last = (place, body)
    if connection is not None and connection.closing:
        connection.close()
        return None
    return connection
