"""Closed and open loops against servers with a script: what they count, from when they count, and that they end."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from gateway.bench.closed_loop import closed_loop
from gateway.bench.measurement import Load
from gateway.bench.open_loop import open_loop
from tests.bench.servers import answered, embeddings, scripted


async def at_once(_number: int, texts: list[str]) -> bytes:
    return answered(embeddings(texts))


async def test_a_closed_loop_takes_turns_and_counts_texts() -> None:
    requests = [("a", "b"), ("c",), ("d", "e", "f")]
    async with scripted(at_once) as (script, target):
        load = await closed_loop(target, requests, clients=3, seconds=0.1)
    assert [tuple(body["input"]) for body in script.requests[:3]] == requests  # type: ignore[arg-type]
    assert load.texts == sum(len(body["input"]) for body in script.requests)  # type: ignore[arg-type]
    assert len(load.latencies) == len(script.requests)
    assert script.most_open == 3
    assert load.errors == 0
    assert load.last_request is not None
    assert load.last_body == embeddings(list(requests[load.last_request]))


async def test_every_client_of_a_closed_loop_sends_one_however_short_it_is() -> None:
    async with scripted(at_once) as (script, target):
        load = await closed_loop(target, [("a",)], clients=5, seconds=0)
    assert load.texts == len(script.requests) == 5


async def test_a_loop_beside_another_ends_with_it() -> None:
    """When the other is done the request under way is the last."""
    done = asyncio.Event()

    async def reply(number: int, texts: list[str]) -> bytes:
        if number == 6:
            done.set()
            await asyncio.sleep(0)
        return answered(embeddings(texts))

    async def other() -> Load:
        await done.wait()
        return Load(0, 1.0)

    async with scripted(reply) as (script, target):
        load = await closed_loop(target, [("a",)], clients=1, beside=asyncio.create_task(other()))
    assert 7 <= load.texts == len(script.requests) <= 8


CLOSE = "Connection: close\r\n"


@pytest.mark.parametrize(
    "bad",
    [
        answered(b"{}", status=503),
        b"",
        f"SPAM/1.0 hello\r\n{CLOSE}\r\n".encode(),
        f"HTTP/1.1 2x0\r\n{CLOSE}\r\n".encode(),
        f"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n{CLOSE}\r\nshort".encode(),
    ],
    ids=["503", "hung up", "no HTTP", "no status", "cut short"],
)
async def test_failures_are_counted_and_the_loop_goes_on(bad: bytes) -> None:
    async def reply(number: int, texts: list[str]) -> bytes:
        return answered(embeddings(texts)) if number % 2 else bad

    async with scripted(reply) as (script, target):
        load = await asyncio.wait_for(closed_loop(target, [("a",)], clients=1, seconds=0.2), 10)
    assert load.errors >= 1
    assert load.texts >= 1
    assert load.errors + load.texts == len(script.requests)
    assert len(load.latencies) == load.texts


async def test_a_stall_counts_for_all_who_wanted_to_be_served_in_it() -> None:
    """One answer takes half a second and holds up everyone: with latency from the moment of sending, each other request
    of a waiting client would look fast."""
    busy = asyncio.Lock()

    async def reply(number: int, texts: list[str]) -> bytes:
        async with busy:
            if number == 0:
                await asyncio.sleep(0.5)
            return answered(embeddings(texts))

    arrivals = np.arange(0.01, 0.41, 0.01)
    async with scripted(reply) as (script, target):
        load = await open_loop(target, ["a", "b"], arrivals)
    assert len(script.requests) == load.offered == len(arrivals) == len(load.latencies)
    # A request due at t is answered after 0.51 s at the earliest, whoever sent it.
    waited = np.sort(np.asarray(load.latencies))
    assert (waited >= np.sort(0.51 - arrivals) - 0.02).all()
    assert load.unanswered == load.errors == 0


async def test_a_request_that_waits_for_a_connection_has_waited_since_it_was_due(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("gateway.bench.open_loop.MAX_CONNECTIONS", 1)

    async def reply(_number: int, texts: list[str]) -> bytes:
        await asyncio.sleep(0.1)
        return answered(embeddings(texts))

    async with scripted(reply) as (script, target):
        load = await open_loop(target, ["a"], np.zeros(4))
    assert script.most_open == 1
    assert sorted(load.latencies)[-1] >= 0.4


async def test_an_open_loop_ends_and_counts_those_who_still_wait() -> None:
    async def reply(number: int, texts: list[str]) -> bytes:
        if number % 2 == 0:
            await asyncio.sleep(60)
        return answered(embeddings(texts))

    async with scripted(reply) as (_, target):
        load = await asyncio.wait_for(open_loop(target, ["a"], np.linspace(0.0, 0.1, 10), drain_seconds=0.3), 10)
    assert load.offered == 10
    assert load.unanswered + load.texts == 10
    assert load.unanswered >= 5
    # Who was not answered has waited as long as there was time, and is not left out.
    assert len(load.latencies) == 10
    assert sum(latency >= 0.3 for latency in load.latencies) >= load.unanswered


async def test_errors_of_an_open_loop_have_no_latency() -> None:
    async def reply(_number: int, _texts: list[str]) -> bytes:
        return answered(b"{}", status=429)

    async with scripted(reply) as (_, target):
        load = await open_loop(target, ["a"], np.zeros(3))
    assert (load.errors, load.texts, list(load.latencies)) == (3, 0, [])
