"""What someone who asks for one vector notices of someone who asks for thousands."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from gateway.bench.accounting import Account, accounted
from gateway.bench.closed_loop import closed_loop
from gateway.bench.contenders import HttpContender
from gateway.bench.measurement import Load, Measurement
from gateway.bench.target import Target
from gateway.bench.workloads import Plan, Workload, closed_load, singles

# A query that waits for bulk requests takes long, and a percentile needs many.
ENOUGH_SINGLES = 100
MOST_ROUNDS = 5


@dataclass(frozen=True, slots=True)
class Disturbed:
    """One client's short queries alone, then with bulk requests running."""

    idle: Load
    disturbed: Load
    bulk: Load

    @property
    def texts(self) -> int:
        return self.idle.texts + self.disturbed.texts + self.bulk.texts

    def figures(self) -> dict[str, float]:
        """Latencies are those of the short queries with bulk running, texts a second those of the bulk requests."""
        idle, disturbed = self.idle.figures(), self.disturbed.figures()
        found = {name: value for name, value in disturbed.items() if name.startswith(("latency_", "answers"))}
        found["texts_per_second"] = self.bulk.figures()["texts_per_second"]
        found["errors"] = float(self.idle.errors + self.disturbed.errors + self.bulk.errors)
        if "latency_p99_ms" in idle and "latency_p99_ms" in disturbed:
            found |= {"idle_p50_ms": idle["latency_p50_ms"], "idle_p99_ms": idle["latency_p99_ms"]}
            found["p99_over_idle"] = disturbed["latency_p99_ms"] / idle["latency_p99_ms"]
        return found


def interference(server: HttpContender, account: Account, plan: Plan, repeat: int) -> Sequence[Measurement]:
    _, figures = accounted(account, lambda: asyncio.run(_disturbed(server.target, plan)))
    return (Measurement(Workload.INTERFERENCE.value, server.name, server.generator, repeat, figures),)


async def _disturbed(target: Target, plan: Plan) -> Disturbed:
    queries = [(text,) for text in singles()]
    idle = await closed_loop(target, queries, clients=1, seconds=plan.seconds)
    disturbed, bulk = [], []
    for _ in range(MOST_ROUNDS):
        single, many = await _side_by_side(target, queries, plan)
        disturbed.append(single)
        bulk.append(many)
        if sum(load.texts for load in disturbed) >= ENOUGH_SINGLES:
            break
    return Disturbed(idle, joined(disturbed), joined(bulk))


async def _side_by_side(target: Target, queries: Sequence[Sequence[str]], plan: Plan) -> tuple[Load, Load]:
    requests = closed_load(Workload.BULK, plan).requests
    bulk = asyncio.create_task(closed_loop(target, requests, clients=1, seconds=plan.seconds))
    try:
        # Not the first moment, in which the bulk request is still on its way.
        await asyncio.sleep(min(0.2, plan.seconds / 4))
        single = await closed_loop(target, queries, clients=1, seconds=0.75 * plan.seconds)
        return single, await bulk
    finally:
        bulk.cancel()


def joined(loads: Sequence[Load]) -> Load:
    """One load after the other as one."""
    latencies = [latency for load in loads for latency in load.latencies]
    texts, errors = sum(load.texts for load in loads), sum(load.errors for load in loads)
    return Load(texts, sum(load.seconds for load in loads), latencies, errors)
