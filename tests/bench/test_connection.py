"""Answers as servers send them: with a length, in pieces, until the end."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.bench.connection import Connection, get, post
from tests.bench.servers import answered, scripted


def chunked(pieces: list[bytes]) -> bytes:
    body = b"".join(b"%x;note=1\r\n%s\r\n" % (len(piece), piece) for piece in pieces)
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + body + b"0\r\nTrailer: x\r\n\r\n"


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=6))
def test_a_body_in_chunks_is_put_together_and_the_connection_goes_on(pieces: list[bytes]) -> None:
    async def run() -> None:
        reader = asyncio.StreamReader()
        reader.feed_data(chunked(pieces) + answered(b"next"))
        connection = Connection(reader, Silent())  # type: ignore[arg-type]
        assert await connection.answer(b"") == (200, b"".join(pieces))
        assert not connection.closing
        assert await connection.exchange(b"") == b"next"

    asyncio.run(run())


class Silent:
    def write(self, _data: bytes) -> None: ...


@pytest.mark.parametrize(
    ("answer", "closing"),
    [
        (answered(b"body"), False),
        (answered(b"body", more="Connection: close\r\n"), True),
        (b"HTTP/1.1 200 OK\r\n\r\nbody", True),
    ],
)
async def test_it_is_known_whether_another_request_may_follow(answer: bytes, closing: bool) -> None:
    reader = asyncio.StreamReader()
    reader.feed_data(answer)
    reader.feed_eof()
    connection = Connection(reader, Silent())  # type: ignore[arg-type]
    assert await connection.answer(b"") == (200, b"body")
    assert connection.closing is closing


async def test_an_answer_that_breaks_off_is_no_answer() -> None:
    async def reply(_number: int, _texts: list[str]) -> bytes:
        return b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\nConnection: close\r\n\r\nhalf"

    async with scripted(reply) as (_, target):
        connection = await target.connect()
        with pytest.raises(EOFError):
            await connection.answer(target.request("text"))
        connection.close()


def test_a_key_goes_into_the_header_and_only_there() -> None:
    with_key, without = post("/p", b"{}", host="h", key="secret"), post("/p", b"{}", host="h")
    assert b"\r\nAuthorization: Bearer secret\r\n" in with_key
    assert with_key.replace(b"Authorization: Bearer secret\r\n", b"") == without
    assert get("/metrics", host="h", key="k") == b"GET /metrics HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer k\r\n\r\n"
