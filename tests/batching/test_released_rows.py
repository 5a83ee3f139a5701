"""What the scheduler holds on to once a submission has ended: nothing that is large, whatever else waits."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from gateway.batching.call import CallResult
from gateway.batching.submission import Row, Submission
from gateway.batching.turns import Flow
from gateway.errors import DeadlineExceeded, DeviceOutOfMemory, GatewayError
from gateway.types import TokenRow, UInt8Array
from tests.support.running_service import until
from tests.support.scripted_call import ScriptedCall, row, vector_of
from tests.support.scripted_scheduler import expected, scheduler, soon, submit


class Pictures:
    """Rows with pixels, and how many of those are still held by anybody."""

    def __init__(self) -> None:
        self._refs: list[weakref.ref[UInt8Array]] = []

    def row(self, text_id: int, length: int) -> TokenRow:
        pixels = np.zeros((4, 4, 3), dtype=np.uint8)
        self._refs.append(weakref.ref(pixels))
        return replace(row(text_id, length), pixels=pixels)

    @property
    def held(self) -> int:
        gc.collect()
        return sum(ref() is not None for ref in self._refs)


@pytest.fixture
def pictures() -> Pictures:
    return Pictures()


async def test_pixels_are_let_go_with_the_answer_though_the_queue_goes_on(pictures: Pictures) -> None:
    """A row that joined another's cut stays in the queue's heap until it surfaces, which others may put off."""
    release_first = asyncio.Event()
    call = ScriptedCall(held=release_first)
    target = scheduler(call, calls_in_flight=1)
    blocker = asyncio.create_task(submit(target, (1, 500)))
    await until(lambda: call.under_way == 1)
    seed = asyncio.create_task(target.submit([row(2, 9)], deadline=soon()))
    bulk = asyncio.create_task(submit(target, *((number, 500) for number in range(10, 40))))
    joining = asyncio.create_task(
        target.submit([pictures.row(number, 9) for number in range(100, 140)], deadline=soon())
    )
    await asyncio.sleep(0)
    call.held = asyncio.Event()
    release_first.set()
    await blocker
    await until(lambda: call.under_way == 1)
    assert len(call.calls[1]) > 10, "they share the call of a row before them"
    call.held, held = None, call.held
    held.set()
    outcome = await joining
    assert len(outcome.values) == 40
    assert not bulk.done()
    del joining
    await asyncio.sleep(0)
    assert pictures.held == 0
    await asyncio.gather(seed, bulk)


async def test_pixels_are_let_go_with_an_error_too(pictures: Pictures) -> None:
    call = ScriptedCall(held=asyncio.Event())
    target = scheduler(call, calls_in_flight=1)
    others = [asyncio.create_task(submit(target, (number, 500))) for number in range(3)]
    await until(lambda: call.under_way == 1)

    async def too_late() -> type[GatewayError]:
        try:
            await target.submit([pictures.row(number, 9) for number in range(100, 140)], deadline=soon(0.02))
        except GatewayError as error:
            return type(error)
        raise AssertionError

    assert await too_late() is DeadlineExceeded
    assert call.under_way == 1
    await asyncio.sleep(0)
    assert pictures.held == 0
    assert call.held is not None
    call.held.set()
    await asyncio.gather(*others)


async def test_values_for_somebody_who_left_do_not_trouble_batch_mates() -> None:
    call = ScriptedCall(held=asyncio.Event())
    target = scheduler(call)
    leaving, staying = (asyncio.create_task(submit(target, (number, 10), (number + 10, 10))) for number in (1, 2))
    await until(lambda: call.under_way == 1)
    assert len(call.calls[0]) == 4
    leaving.cancel()
    await asyncio.gather(leaving, return_exceptions=True)
    assert call.held is not None
    call.held.set()
    outcome = await staying
    np.testing.assert_array_equal(outcome.values, expected([row(2, 10), row(12, 10)]))
    await until(lambda: target.idle)
    assert len(call.calls) == 1


async def test_a_row_that_did_not_fit_into_memory_is_computed_once_and_fails_alone() -> None:
    calls: list[list[int]] = []

    async def call(rows: Sequence[TokenRow], *, timeout_seconds: float, urgent: bool = False) -> CallResult:
        ids = [int(one.ids[0]) for one in rows]
        calls.append(ids)
        error = DeviceOutOfMemory("It did not fit.")
        return CallResult([vector_of(one.ids) for one in rows], {ids.index(5): error} if 5 in ids else {})

    target = scheduler(call)  # type: ignore[arg-type]
    results = await asyncio.gather(*(submit(target, (number, 10)) for number in range(1, 11)), return_exceptions=True)
    assert [isinstance(result, DeviceOutOfMemory) for result in results] == [number == 5 for number in range(1, 11)]
    assert sum(ids.count(5) for ids in calls) == 1
    assert target.idle
    assert target.outage is None, "the model is not taken for gone"


async def test_what_was_a_request_goes_without_garbage_collection() -> None:
    """Rows name their submission and their flow, and both name their rows while it lasts."""
    target = scheduler(ScriptedCall(), interactive_tokens=8)
    gc.collect()
    gc.disable()
    try:
        before = of_requests()
        await submit(target, (1, 3))
        await submit(target, *[(number, number) for number in range(1, 40)])
        await asyncio.sleep(0.01)  # in which the calls' own tasks end
        assert of_requests() == before
    finally:
        gc.enable()


def of_requests() -> int:
    return sum(type(one) in (Row, Submission, Flow) for one in gc.get_objects())
