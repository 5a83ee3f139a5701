"""One short query at a time, contenders in turn every few: latency, and what each layer adds to it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack

from gateway.bench.closed_loop import NETWORK_FAULTS
from gateway.bench.connection import Connection
from gateway.bench.contenders import CeilingContender, Contender, Contest, DirectContender, HttpContender
from gateway.bench.measurement import Load, Measurement
from gateway.bench.model_rows import Batch
from gateway.bench.parity import Parity
from gateway.bench.turns import turns
from gateway.bench.workloads import Plan, Workload, singles

REQUEST_SECONDS = 30.0
QUERIES_A_TURN = 10
# Threads of ONNX Runtime go on spinning for some milliseconds, here and in Triton, and would disturb whoever is next.
SETTLE_SECONDS = 0.02

Ask = Callable[[int], Awaitable[float | None]]
"""Sends the query of that number; the seconds it took, None where it failed. What can be made beforehand was."""


def one_by_one(contest: Contest, plan: Plan, parity: Parity, *, repeat: int) -> Sequence[Measurement]:
    """Ends after `plan.singles` queries of each."""
    return asyncio.run(_one_by_one(contest, plan, parity, repeat))


async def _one_by_one(contest: Contest, plan: Plan, parity: Parity, repeat: int) -> Sequence[Measurement]:
    texts = singles()[: plan.singles]
    batches = [contest.ceiling.ceiling.model.batches([text])[0] for text in texts]
    taken: dict[str, list[float]] = {contender.name: [] for contender in contest.contenders}
    errors = dict.fromkeys(taken, 0)
    async with AsyncExitStack() as stack:
        asks = [
            (contender.name, await _ask(contender, texts, batches, stack, parity)) for contender in contest.contenders
        ]
        for turn, start in enumerate(range(0, len(texts), QUERIES_A_TURN)):
            for name, ask in turns(asks, repeat=repeat + turn):
                await asyncio.sleep(SETTLE_SECONDS)
                for number in range(start, min(start + QUERIES_A_TURN, len(texts))):
                    seconds = await ask(number)
                    if seconds is None:
                        errors[name] += 1
                    else:
                        taken[name].append(seconds)
    return [
        Measurement(Workload.SINGLE.value, one.name, one.generator, repeat, _figures(taken[one.name], errors[one.name]))
        for one in contest.contenders
    ]


def _figures(taken: Sequence[float], errors: int) -> dict[str, float]:
    """Queries a second are those of a client that does nothing in between."""
    return Load(len(taken), sum(taken) or 1.0, taken, errors).figures()


async def _ask(
    contender: Contender, texts: Sequence[str], batches: Sequence[Batch], stack: AsyncExitStack, parity: Parity
) -> Ask:
    if isinstance(contender, HttpContender):
        caller = _HttpCaller(contender, texts, parity)
        stack.callback(caller.close)
        return caller.ask
    if isinstance(contender, DirectContender):
        direct = contender.direct
        engine = await stack.enter_async_context(direct.connected())

        async def call(number: int) -> float:
            begin = time.perf_counter()
            await direct.call(engine, batches[number])
            return time.perf_counter() - begin

        return call
    if isinstance(contender, CeilingContender):
        ceiling = contender.ceiling

        async def compute(number: int) -> float:
            return ceiling.seconds_of(batches[number])

        return compute
    raise TypeError(f"{contender.name} cannot be asked one by one")


class _HttpCaller:
    """One keep-alive client."""

    def __init__(self, contender: HttpContender, texts: Sequence[str], parity: Parity) -> None:
        self._target = contender.target
        self._texts = texts
        self._requests = [contender.target.request(text) for text in texts]
        self._parity = parity
        self._connection: Connection | None = None

    async def ask(self, number: int) -> float | None:
        try:
            async with asyncio.timeout(REQUEST_SECONDS):
                connection = self._connection = self._connection or await self._target.connect()
                begin = time.perf_counter()
                status, body = await connection.answer(self._requests[number])
                seconds = time.perf_counter() - begin
        except NETWORK_FAULTS:
            self.close()
            return None
        if connection.closing:
            self.close()
        if status != 200:
            return None
        if number == len(self._requests) - 1:
            self._parity.compare_answer(self._target.name, [self._texts[number]], body)
        return seconds

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
