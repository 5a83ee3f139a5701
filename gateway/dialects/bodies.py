"""Reading a JSON request body, and noticing that nobody waits for the answer any more."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np
import orjson
from starlette.requests import ClientDisconnect
from starlette.types import Receive

from gateway.errors import InvalidField, MalformedBody
from gateway.telemetry.connections import Connection
from gateway.text.limits import SHORTEN_PHRASE

_Result = TypeVar("_Result")

_BYTE_ORDER_MARKS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")
_VALUE_MARKS = (b",", b"[", b"{")
_COUNTED_AT_ONCE = 256 * 1024
# In so little there are not the lists to set off more than a collection of the youngest.
_COLLECTING_BYTES = 1024


async def read_body(receive: Receive) -> bytes:
    """The whole request body. Size and time are bounded by the `receive` given. Raises `ClientDisconnect`."""
    message = await receive()
    if message["type"] == "http.request" and not message.get("more_body", False):
        return bytes(message.get("body", b""))
    chunks = bytearray()
    while message["type"] == "http.request":
        chunks += message.get("body", b"")
        if not message.get("more_body", False):
            return bytes(chunks)
        message = await receive()
    raise ClientDisconnect


async def check_value_count(body: bytes, *, max_values: int) -> None:
    """Raises `InvalidField` for JSON of more values than anything served here needs, before it is parsed.

    Parsing holds up every other request: 16 MB of empty lists are 5.6 million lists and 0.5 s (Zen 5, 2026-11). Text
    that merely looks like many values is told apart in a thread.
    """
    most = 1 + sum(body.count(mark) for mark in _VALUE_MARKS) if len(body) > max_values else 0
    if most <= max_values:
        return
    count = await asyncio.to_thread(count_values, body, stop_beyond=max_values)
    if count > max_values:
        raise InvalidField(
            f"The request body holds at least {count} values and this server reads at most {max_values} in one "
            f"request, a token id being one. {SHORTEN_PHRASE} To stay below it, send the inputs in several requests.",
            param=None,
            code="too_many_values",
        )


def count_values(body: bytes, *, stop_beyond: int) -> int:
    """Commas and opening brackets outside strings, and one: about the number of values that parsing would make.

    Counts no further once it is beyond `stop_beyond`. Right as far as the JSON is valid, which is as far as a parser
    gets.
    """
    if b"\\" in body:
        body = body.replace(b"\\\\", b"").replace(b'\\"', b"")
    letters = np.frombuffer(body, dtype=np.uint8)
    count, is_inside = 1, False
    for start in range(0, len(letters), _COUNTED_AT_ONCE):
        some = letters[start : start + _COUNTED_AT_ONCE]
        inside = np.logical_xor.accumulate(some == ord('"')) ^ is_inside
        marks = (some == ord(",")) | (some == ord("[")) | (some == ord("{"))
        count += int(np.count_nonzero(marks & ~inside))
        if count > stop_beyond:
            break
        is_inside = bool(inside[-1])
    return count


def parse_object(body: bytes) -> dict[str, Any]:
    """The JSON object that `body` holds, whatever its content type says. Raises `MalformedBody`."""
    if not body or body.isspace():
        raise MalformedBody('The request body is empty. Send a JSON object such as {"input": "some text"}.')
    if body.startswith(_BYTE_ORDER_MARKS):
        raise MalformedBody("The request body starts with a byte order mark. Send plain UTF-8 JSON without one.")
    try:
        value = _parsed(body)
    except orjson.JSONDecodeError as error:
        raise MalformedBody(
            f"The request body is not valid JSON; the first fault is at character {error.pos}. "
            "It has to be UTF-8, without NaN or Infinity, and not nested deeply."
        ) from None
    if not isinstance(value, dict):
        raise MalformedBody("The request body has to be a JSON object.")
    return value


def _parsed(body: bytes) -> Any:
    """No garbage collection meanwhile: a body of a million lists sets off collection after collection, each going
    through all of them, and takes three times as long (167 ms against 54 ms, 2026-11, Zen 5). Parsing makes no cycles.
    """
    if len(body) < _COLLECTING_BYTES:
        return orjson.loads(body)
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        return orjson.loads(body)
    finally:
        if was_enabled:
            gc.enable()


async def await_while_connected(
    work: Coroutine[Any, Any, _Result], receive: Receive, connection: Connection | None = None
) -> _Result:
    """`work`'s result; when the client goes away first, `work` is cancelled and `ClientDisconnect` raised.

    To be called once the request body has been read, so that the next message can only be the disconnect. `connection`,
    where the server gives one, spares each request a task that waits for it.
    """
    waiting = asyncio.current_task()
    assert waiting is not None
    cancellations_before = waiting.cancelling()
    gone = False

    def leave() -> None:
        nonlocal gone
        gone = True
        waiting.cancel()

    try:
        if connection is None:
            with _asked(receive, leave):
                return await work
        connection.when_gone = leave
        if connection.is_gone:
            leave()
        return await work
    except asyncio.CancelledError:
        if gone and waiting.uncancel() <= cancellations_before:
            raise ClientDisconnect from None
        raise
    finally:
        if connection is not None:
            connection.when_gone = None


@contextmanager
def _asked(receive: Receive, leave: Callable[[], None]) -> Iterator[None]:
    """While it is open, `leave` is called by a task of its own that waits for the client to go."""

    async def watch() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        leave()

    watcher = asyncio.create_task(watch())
    try:
        yield
    finally:
        watcher.cancel()
