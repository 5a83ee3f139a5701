"""Whether a hundred thousand texts cost a hundred times what a thousand do: the same tiny texts, more and more of them.

Tiny ones, because what grows with their number (lines to stand in, tables, lists) would hide behind long inference.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence

from gateway.bench.accounting import Account, accounted
from gateway.bench.closed_loop import Answers, ask
from gateway.bench.connection import Connection
from gateway.bench.contenders import HttpContender
from gateway.bench.interference import joined
from gateway.bench.measurement import Load, Measurement
from gateway.bench.target import Target
from gateway.bench.texts import tiny_texts
from gateway.bench.turns import turns
from gateway.bench.workloads import Plan, Workload

CLIENTS = 8
TEXTS_A_REQUEST = 2048
# Fewer are over before a clock says much: they are sent again, as new ones.
LEAST_TEXTS = 10_000


def scaling(server: HttpContender, account: Account, plan: Plan, repeat: int) -> Sequence[Measurement]:
    """A measurement for each size, and how much slower the slowest is than the fastest, by the clock and by the
    server's processor time."""
    by_size: dict[int, Measurement] = {}
    for size in turns(plan.scaling_texts, repeat=repeat):
        rounds = max(1, min(LEAST_TEXTS, plan.scaling_texts[-1]) // size)
        _, figures = accounted(account, _Sending(server.target, size, rounds).load)
        name = f"{Workload.SCALING.value}-{size}"
        by_size[size] = Measurement(name, server.name, server.generator, repeat, figures)
    whole = dict(flatness([by_size[size] for size in plan.scaling_texts]))
    own = Measurement(Workload.SCALING.value, server.name, server.generator, repeat, whole)
    return (*(by_size[size] for size in plan.scaling_texts), own)


def flatness(sizes: Sequence[Measurement]) -> Iterator[tuple[str, float]]:
    """Lowest rate over highest, 1 where a text costs the same however many there are."""
    named = {"slowest_over_fastest": "texts_per_second", "cpu_slowest_over_fastest": "texts_per_cpu_second"}
    for name, rate in named.items():
        rates = [one.figures[rate] for one in sizes if one.figures.get(rate)]
        if rates and len(rates) == len(sizes):
            yield name, min(rates) / max(rates)


class _Sending:
    """`size` texts, `rounds` times."""

    def __init__(self, target: Target, size: int, rounds: int) -> None:
        self._target = target
        self._size = size
        self._rounds = rounds

    def load(self) -> Load:
        return joined([asyncio.run(self._once(seed)) for seed in range(self._rounds)])

    async def _once(self, seed: int) -> Load:
        texts = tiny_texts(self._size, seed=seed)
        parts = [texts[start : start + TEXTS_A_REQUEST] for start in range(0, len(texts), TEXTS_A_REQUEST)]
        waiting = iter([(place, self._target.request(part), len(part)) for place, part in enumerate(parts)])
        answers, begin = Answers(), time.perf_counter()

        async def client() -> None:
            connection: Connection | None = None
            for place, request, count in waiting:
                connection = await ask(self._target, connection, request, place, count, answers)
            if connection is not None:
                connection.close()

        await asyncio.gather(*(client() for _ in range(min(CLIENTS, len(parts)))))
        return Load(answers.texts, time.perf_counter() - begin, answers.latencies, answers.errors)
