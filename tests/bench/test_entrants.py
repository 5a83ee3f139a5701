"""Servers are asked once before a run, in the way that they can answer."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from gateway.bench.entrants import ready_to_start
from gateway.bench.target import Target
from gateway.errors import ConfigurationError
from tests.bench.servers import Answer, Scripted, answered, embeddings, scripted


@contextmanager
def in_a_thread(answer: Answer) -> Iterator[tuple[Scripted, Target]]:
    """What is asked blocks, so the server has a loop of its own."""
    ready, made = threading.Event(), []
    stop: Callable[[], object] = lambda: None  # noqa: E731

    async def serve() -> None:
        nonlocal stop
        over, loop = asyncio.Event(), asyncio.get_running_loop()
        async with scripted(answer) as both:
            made.append(both)
            stop = lambda: loop.call_soon_threadsafe(over.set)  # noqa: E731
            ready.set()
            await over.wait()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    assert ready.wait(10)
    try:
        yield made[0]
    finally:
        stop()
        thread.join(10)


@pytest.mark.parametrize("status", [400, 422])
def test_a_server_that_knows_no_base64_is_asked_for_numbers(status: int) -> None:
    async def reply(number: int, texts: list[str]) -> bytes:
        return answered(b"{}", status=status) if number == 0 else answered(embeddings(texts, as_numbers=True))

    with in_a_thread(reply) as (script, target):
        found = ready_to_start(target)
    assert [body.get("encoding_format") for body in script.requests] == ["base64", None]
    assert not found.base64
    assert b"encoding_format" not in found.request("text")


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [(500, b"{}", "answered 500"), (400, b"{}", "answered 400"), (200, b'{"data": 1}', "not answer like OpenAI")],
)
def test_a_server_that_gives_no_vector_does_not_take_part(status: int, body: bytes, said: str) -> None:
    async def reply(_number: int, _texts: list[str]) -> bytes:
        return answered(body, status=status)

    with in_a_thread(reply) as (_, target), pytest.raises(ConfigurationError, match=said):
        ready_to_start(target)


def test_a_server_on_this_machine_is_found_among_its_processes() -> None:
    async def reply(_number: int, texts: list[str]) -> bytes:
        return answered(embeddings(texts))

    with in_a_thread(reply) as (_, target):
        assert ready_to_start(target).pid is not None
