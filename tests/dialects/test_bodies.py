"""Reading a body in pieces, refusing what is not a JSON object, and noticing that the client has gone."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from unittest.mock import patch

import pytest
from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive

from gateway.dialects import bodies
from gateway.dialects.bodies import (
    await_while_connected,
    check_value_count,
    count_values,
    parse_object,
    read_body,
)
from gateway.errors import InvalidField, MalformedBody


def scripted(messages: Iterable[Message]) -> Receive:
    """Gives the messages one by one, then waits for ever."""
    left = list(messages)

    async def receive() -> Message:
        if left:
            return left.pop(0)
        return await asyncio.get_running_loop().create_future()

    return receive


def part(body: bytes, more: bool = True) -> Message:
    return {"type": "http.request", "body": body, "more_body": more}


DISCONNECT: Message = {"type": "http.disconnect"}


async def test_body_in_one_piece() -> None:
    assert await read_body(scripted([part(b"abc", more=False)])) == b"abc"


async def test_body_in_pieces() -> None:
    assert await read_body(scripted([part(b"a"), part(b""), part(b"bc"), part(b"", more=False)])) == b"abc"


@pytest.mark.parametrize("messages", [[DISCONNECT], [part(b"a"), DISCONNECT]])
async def test_client_gone_while_sending(messages: list[Message]) -> None:
    with pytest.raises(ClientDisconnect):
        await read_body(scripted(messages))


@pytest.mark.parametrize(
    ("body", "count"),
    [
        (b"{}", 2),
        (b'{"input":[[1,2],[3]]}', 7),
        (b'{"a,[{":"b,\\",[\\\\"}', 2),
        ('{"a":"\\ud83d\\ude00,,","b":"ä[[\\\\\\","}'.encode(), 3),
        (b'{"a":"never closed,,,,', 2),
    ],
)
def test_values_are_counted_outside_strings(body: bytes, count: int) -> None:
    assert count_values(body, stop_beyond=100) == count
    with patch.object(bodies, "_COUNTED_AT_ONCE", 3):
        assert count_values(body, stop_beyond=100) == count


async def test_too_many_values_are_refused_before_they_are_parsed() -> None:
    with pytest.raises(InvalidField, match=r"holds at least 204 values .* at most 203 .*reduce your prompt") as caught:
        await check_value_count(b'{"a":[' + b"[]," * 100 + b"[]]}", max_values=203)
    assert caught.value.code == "too_many_values"


@pytest.mark.parametrize("body", [b'{"a":"' + b"[]," * 100 + b'"}', b'{"a":[' + b"[]," * 73 + b"[]]}"])
async def test_text_that_looks_like_values_is_let_through(body: bytes) -> None:
    await check_value_count(body, max_values=150)


def test_object() -> None:
    assert parse_object(b' {"a": [1, "\xc3\xa4"]} \n') == {"a": [1, "ä"]}


def test_parsing_very_many_lists_sets_off_no_garbage_collection() -> None:
    body = b'{"a": [%b]}' % b",".join([b"[1]"] * 100_000)
    collections: list[str] = []

    def note(phase: str, _: dict[str, int]) -> None:
        if phase == "start":
            collections.append(phase)

    assert gc.isenabled()
    gc.callbacks.append(note)
    try:
        value = parse_object(body)
    finally:
        gc.callbacks.remove(note)
    assert len(value["a"]) == 100_000
    assert len(collections) <= 1  # what is due when it is allowed again
    assert gc.isenabled()


MALFORMED = {
    "empty": b"",
    "blank": b" \n\t",
    "a string": b'"text"',
    "a list": b"[1]",
    "null": b"null",
    "a number": b"1",
    "cut off": b'{"input": "abc',
    "trailing": b'{"input": "a"} x',
    "NaN": b'{"dimensions": NaN}',
    "Infinity": b'{"dimensions": -Infinity}',
    "invalid UTF-8": b'{"input": "\xff\xfe"}',
    "overlong UTF-8": b'{"input": "\xc0\xaf"}',
    "raw surrogate": b'{"input": "\xed\xa0\x80"}',
    "lone surrogate": b'{"input": "\\ud800"}',
    "swapped surrogates": b'{"input": "\\udc00\\ud800"}',
    "deep list": b'{"input": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "deep object": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "UTF-8 byte order mark": b'\xef\xbb\xbf{"input": "a"}',
    "UTF-16": '{"input": "a"}'.encode("utf-16"),
    "a form": b"input=a&model=b",
    "raw newline": b'{"input": "a\nb"}',
    "NUL": b'{"input": "a\x00b"}',
    "single quotes": b"{'input': 'a'}",
    "comment": b'{"input": "a"} // b',
}


@pytest.mark.parametrize("body", MALFORMED.values(), ids=MALFORMED.keys())
def test_malformed(body: bytes) -> None:
    with pytest.raises(MalformedBody) as caught:
        parse_object(body)
    assert caught.value.message.isascii()
    assert caught.value.__cause__ is None


def test_result_passes_through() -> None:
    async def work() -> int:
        await asyncio.sleep(0)
        return 7

    assert asyncio.run(await_while_connected(work(), scripted([]))) == 7


async def test_error_passes_through() -> None:
    async def work() -> int:
        raise MalformedBody("m")

    with pytest.raises(MalformedBody):
        await await_while_connected(work(), scripted([]))


async def test_disconnect_cancels_the_work() -> None:
    cancelled = asyncio.Event()

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    with pytest.raises(ClientDisconnect):
        await await_while_connected(work(), scripted([DISCONNECT]))
    assert cancelled.is_set()
    current = asyncio.current_task()
    assert current is not None
    assert current.cancelling() == 0
    await asyncio.sleep(0)  # a leftover cancellation would be raised here


async def test_cancellation_from_outside_stays_a_cancellation() -> None:
    started = asyncio.Event()

    async def work() -> None:
        started.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(await_while_connected(work(), scripted([])))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_disconnect_and_cancellation_together_stay_a_cancellation() -> None:
    gone = asyncio.Event()

    async def receive() -> Message:
        await gone.wait()
        return DISCONNECT

    async def work() -> None:
        await asyncio.Event().wait()

    task = asyncio.create_task(await_while_connected(work(), receive))
    await asyncio.sleep(0)
    gone.set()
    task.cancel()
    with pytest.raises((asyncio.CancelledError, ClientDisconnect)):
        await task


async def test_no_task_is_left_behind() -> None:
    before = asyncio.all_tasks()

    async def work() -> None:
        await asyncio.sleep(0)

    for _ in range(20):
        await await_while_connected(work(), scripted([]))
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == before


@dataclass
class ToldConnection:
    when_gone: Callable[[], None] | None = None
    is_gone: bool = False
    has_whole_body: bool = True


async def never_asked() -> Message:
    raise AssertionError("the connection tells")


async def test_a_connection_that_tells_is_not_asked() -> None:
    connection = ToldConnection()
    assert await await_while_connected(asyncio.sleep(0, "done"), never_asked, connection) == "done"
    assert connection.when_gone is None


async def test_work_is_cancelled_when_the_connection_tells_that_the_client_left() -> None:
    connection = ToldConnection()
    cancelled = asyncio.Event()

    async def work() -> None:
        try:
            assert connection.when_gone is not None
            asyncio.get_running_loop().call_soon(connection.when_gone)
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    with pytest.raises(ClientDisconnect):
        await await_while_connected(work(), never_asked, connection)
    assert cancelled.is_set()
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_work_for_a_client_that_left_before_goes_no_further_than_its_first_wait() -> None:
    with pytest.raises(ClientDisconnect):
        await await_while_connected(asyncio.sleep(3600), never_asked, ToldConnection(is_gone=True))


async def test_a_cancellation_by_the_server_is_not_taken_for_a_client_that_left() -> None:
    connection = ToldConnection()
    task = asyncio.create_task(await_while_connected(asyncio.sleep(3600), never_asked, connection))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert connection.when_gone is None
