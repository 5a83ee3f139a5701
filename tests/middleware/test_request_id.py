"""A sane id of the caller's is kept, anything else is replaced, and the answer carries it either way."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.types import Message, Receive, Scope, Send

from gateway.middleware.request_id import RequestId, request_id_from
from gateway.telemetry.requests import current_request_id, record_of


@pytest.mark.parametrize("given_id", [b"a", b"x" * 128, b"req_01-AB:/~!"])
def test_sane_ids_are_kept(given_id: bytes) -> None:
    assert request_id_from([(b"x-request-id", given_id)]).encode() == given_id


@pytest.mark.parametrize("given_id", [b"", b"x" * 129, b"a b", b"a\tb", b"\xff", b"a\x00", "ä".encode(), b"a\r\nb: c"])
def test_others_are_replaced(given_id: bytes) -> None:
    assert re.fullmatch("[0-9a-f]{32}", request_id_from([(b"x-request-id", given_id)]))


@given(st.binary(max_size=200))
def test_any_header_gives_an_id_that_is_safe_to_print(value: bytes) -> None:
    assert re.fullmatch(r"[\x21-\x7e]{1,128}", request_id_from([(b"x-request-id", value)]))


def test_made_ids_differ() -> None:
    assert len({request_id_from([]) for _ in range(100)}) == 100


async def test_record_log_context_and_answer_carry_it() -> None:
    seen: dict[str, object] = {}
    sent: list[Message] = []

    async def inner(scope: Scope, receive: Receive, send: Send) -> None:
        seen["record"] = record_of(scope).request_id
        seen["log"] = current_request_id()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"a", b"b")]})

    async def receive() -> Message:
        raise AssertionError

    async def send(message: Message) -> None:
        sent.append(message)

    await RequestId(inner)({"type": "http", "headers": [(b"x-request-id", b"mine")]}, receive, send)
    assert seen == {"record": "mine", "log": "mine"}
    assert sent[0]["headers"] == [(b"a", b"b"), (b"x-request-id", b"mine")]
