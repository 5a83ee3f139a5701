"""Latency at rates below what a server can do, for callers who do not wait for one another."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from gateway.bench.accounting import Account, accounted
from gateway.bench.arrivals import poisson_arrivals
from gateway.bench.contenders import HttpContender
from gateway.bench.measurement import Measurement
from gateway.bench.open_loop import open_loop
from gateway.bench.workloads import OPEN_LOOP_SHARES, Plan, Workload, closed_load, singles


def workload_name(percent: int) -> str:
    """What a rate of the open loop is called in results: `poisson-80`."""
    return f"{Workload.POISSON.value}-{percent}"


def open_rates(server: HttpContender, account: Account, plan: Plan, repeat: int) -> Sequence[Measurement]:
    """The server's capacity first, from 64 callers that wait; then a share of it at a time, from callers that do not.
    None where nothing was answered."""
    capacity = server.under(closed_load(Workload.MANY, plan), seconds=plan.seconds)
    rate = capacity.texts / capacity.seconds
    return [_at(percent, rate, server, account, plan, repeat) for percent in OPEN_LOOP_SHARES if rate > 0]


def _at(percent: int, capacity: float, server: HttpContender, account: Account, plan: Plan, repeat: int) -> Measurement:
    offered = capacity * percent / 100
    arrivals = poisson_arrivals(offered, seconds=plan.seconds, seed=1000 * repeat + percent)
    _, figures = accounted(account, lambda: asyncio.run(open_loop(server.target, singles(), arrivals)))
    figures["offered_per_second"] = offered
    return Measurement(workload_name(percent), server.name, server.generator, repeat, figures)
