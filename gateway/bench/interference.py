"""What someone who asks for one vector notices of someone who asks for thousands, and what that one loses by it."""

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

MOST_ROUNDS = 3
# The bulk request is on its way then.
HEAD_START_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Disturbed:
    """One client's short queries alone, bulk requests alone, then both at once."""

    idle: Load
    alone: Load
    disturbed: Load
    bulk: Load

    @property
    def texts(self) -> int:
        return self.idle.texts + self.alone.texts + self.disturbed.texts + self.bulk.texts

    def figures(self) -> dict[str, float]:
        """Latencies are those of the short queries with bulk running, texts a second those of the bulk requests then;
        `bulk_over_alone` is how much of their own rate they kept."""
        idle, disturbed = self.idle.figures(), self.disturbed.figures()
        kept, own = self.bulk.figures()["texts_per_second"], self.alone.figures()["texts_per_second"]
        found = {name: value for name, value in disturbed.items() if name.startswith(("latency_", "answers"))}
        found["texts_per_second"] = kept
        loads = (self.idle, self.alone, self.disturbed, self.bulk)
        found["errors"] = float(sum(load.errors for load in loads))
        if own > 0:
            found["bulk_over_alone"] = kept / own
        if "latency_p99_ms" in idle and "latency_p99_ms" in disturbed:
            found |= {"idle_p50_ms": idle["latency_p50_ms"], "idle_p99_ms": idle["latency_p99_ms"]}
            found["p99_over_idle"] = disturbed["latency_p99_ms"] / idle["latency_p99_ms"]
        return found


def interference(server: HttpContender, account: Account, plan: Plan, repeat: int) -> Sequence[Measurement]:
    _, figures = accounted(account, lambda: asyncio.run(disturbed_loads(server.target, plan)))
    return (Measurement(Workload.INTERFERENCE.value, server.name, server.generator, repeat, figures),)


async def disturbed_loads(target: Target, plan: Plan) -> Disturbed:
    """Rounds of all three, so that noise hits all alike, until `plan.singles` queries met bulk requests."""
    queries = [(text,) for text in singles()]
    requests = closed_load(Workload.BULK, plan).requests
    idle, alone, disturbed, bulk = [], [], [], []
    for _ in range(MOST_ROUNDS):
        idle.append(await closed_loop(target, queries, clients=1, seconds=plan.seconds / 2))
        alone.append(await closed_loop(target, requests, clients=1, seconds=plan.seconds / 2))
        single, many = await _side_by_side(target, queries, requests, seconds=plan.seconds)
        disturbed.append(single)
        bulk.append(many)
        if sum(load.texts for load in disturbed) >= plan.singles:
            break
    return Disturbed(joined(idle), joined(alone), joined(disturbed), joined(bulk))


async def _side_by_side(
    target: Target, queries: Sequence[Sequence[str]], requests: Sequence[Sequence[str]], *, seconds: float
) -> tuple[Load, Load]:
    bulk = asyncio.create_task(closed_loop(target, requests, clients=1, seconds=seconds))
    try:
        await asyncio.sleep(min(HEAD_START_SECONDS, seconds / 4))
        single = await closed_loop(target, queries, clients=1, beside=bulk)
        return single, await bulk
    finally:
        bulk.cancel()


def joined(loads: Sequence[Load]) -> Load:
    """One load after the other as one."""
    latencies = [latency for load in loads for latency in load.latencies]
    texts, errors = sum(load.texts for load in loads), sum(load.errors for load in loads)
    return Load(texts, sum(load.seconds for load in loads), latencies, errors)
