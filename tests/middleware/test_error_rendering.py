"""Errors are answered once; half an answer is never followed by another; unread bodies end their connection."""

from __future__ import annotations

import pytest
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from gateway.errors import InvalidField
from gateway.middleware.error_rendering import CLIENT_CLOSED_REQUEST, ErrorRendering, body_may_be_on_its_way
from gateway.telemetry.requests import RequestRecord, attach_record


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ([], False),
        ([(b"content-length", b"0")], False),
        ([(b"content-length", b"65536")], False),
        ([(b"content-length", b"65537")], True),
        ([(b"content-length", b"9" * 5000)], True),
        ([(b"transfer-encoding", b"chunked")], True),
        ([(b"content-length", b"6"), (b"transfer-encoding", b"chunked")], True),
    ],
)
def test_which_bodies_end_their_connection(headers: list[tuple[bytes, bytes]], expected: bool) -> None:
    assert body_may_be_on_its_way(headers) is expected


async def answer(error: BaseException, *, started: bool = False) -> tuple[RequestRecord, list[Message]]:
    """What is recorded and sent when `error` is raised inside, before or after the answer has started."""
    record = RequestRecord(request_id="a")
    scope: Scope = {"type": "http", "path": "/here", "headers": []}
    attach_record(scope, record)
    sent: list[Message] = []

    async def inner(scope: Scope, receive: Receive, send: Send) -> None:
        record.status = 200 if started else None
        raise error

    async def receive() -> Message:
        raise AssertionError

    async def send(message: Message) -> None:
        sent.append(message)

    def render(path: str, error: Exception, request_id: str, spoken: str) -> tuple[Response, str]:
        return Response(f"{path} {error} {request_id}", status_code=418), "teapot"

    await ErrorRendering(inner, render_error=render)(scope, receive, send)
    return record, sent


@pytest.mark.parametrize("error", [InvalidField("m", param=None), ValueError("m")])
async def test_errors_are_rendered_for_their_path(error: Exception) -> None:
    record, sent = await answer(error)
    assert record.error_code == "teapot"
    assert [message.get("status") for message in sent] == [418, None]
    assert sent[1]["body"] == b"/here m a"


async def test_half_an_answer_is_not_followed_by_another() -> None:
    with pytest.raises(ValueError, match="m"):
        await answer(ValueError("m"), started=True)


async def test_a_client_that_left_gets_no_answer() -> None:
    record, sent = await answer(ClientDisconnect())
    assert (record.status, sent) == (CLIENT_CLOSED_REQUEST, [])
