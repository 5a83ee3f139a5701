"""Slots come round to every request, are never more than there are, and none is lost."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

from gateway.images.fair_slots import FairSlots, Turns

Order = list[str]


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


def work(turns: Turns, name: str, order: Order, gate: asyncio.Semaphore) -> asyncio.Task[None]:
    async def one() -> None:
        async with turns.one():
            order.append(name)
            await gate.acquire()

    return asyncio.create_task(one())


async def finish(gate: asyncio.Semaphore, tasks: list[asyncio.Task[None]]) -> None:
    for _ in tasks:
        gate.release()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_newcomer_waits_for_one_turn_of_each_request_and_not_for_all_of_them() -> None:
    slots, order, gate = FairSlots(1), [], asyncio.Semaphore(0)
    tasks = []
    for hog in ("a", "b", "c"):
        turns = slots.turns()
        tasks += [work(turns, hog, order, gate) for _ in range(50)]
    await settle()
    tasks.append(work(slots.turns(), "new", order, gate))
    await settle()
    await finish(gate, tasks)
    assert order.index("new") <= 4
    assert sorted(order) == sorted(["new", *"a" * 50, *"b" * 50, *"c" * 50])


async def test_a_request_with_many_is_not_starved_by_newcomers() -> None:
    slots, order, gate = FairSlots(1), [], asyncio.Semaphore(0)
    bulk = slots.turns()
    tasks = [work(bulk, "bulk", order, gate) for _ in range(10)]
    await settle()
    for _ in range(30):
        tasks.append(work(slots.turns(), "new", order, gate))
        gate.release()
        await settle()
    assert order.count("bulk") >= 5
    await finish(gate, tasks)


async def test_no_more_are_taken_than_there_are_and_none_is_lost_whoever_leaves_when() -> None:
    rng = random.Random(3)
    slots, taken, most = FairSlots(3), 0, 0

    async def one(turns: Turns) -> None:
        nonlocal taken, most
        async with turns.one():
            taken += 1
            most = max(most, taken)
            try:
                await asyncio.sleep(0)
            finally:
                taken -= 1

    for _ in range(200):
        turns = slots.turns()
        tasks = [asyncio.create_task(one(turns)) for _ in range(rng.randrange(1, 9))]
        steps: list[Callable[[], object]] = [task.cancel for task in tasks if rng.random() < 0.6]
        for step in steps:
            for _ in range(rng.randrange(3)):
                await asyncio.sleep(0)
            step()
        if rng.random() < 0.3:
            await asyncio.gather(*tasks, return_exceptions=True)
    await settle()
    assert (most, taken) == (3, 0)
    turns, order, gate = slots.turns(), [], asyncio.Semaphore(0)
    tasks = [work(turns, "last", order, gate) for _ in range(5)]
    await settle()
    assert len(order) == 3, "all three are there again"
    await finish(gate, tasks)
