"""Who sends too much gets to read why, and nobody gets to send without end for it."""

from __future__ import annotations

import asyncio
import http.client
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.app import create_app
from gateway.middleware.discarding import Discard, allow_discard, ending_after_the_body
from tests.support.edge import settings
from tests.support.instant_services import InstantServices
from tests.support.live_server import LiveServer, live_server, status_of

LIMIT = 16 * 1024 * 1024
TOO_LARGE = 17 * 1024 * 1024
KEY = "key-1"
AUTHORIZED = {"Authorization": f"Bearer {KEY}"}


@pytest.fixture(scope="module")
def server() -> Iterator[LiveServer]:
    chosen = settings(max_body_bytes=LIMIT, api_keys=(KEY,))
    with live_server(chosen, create_app(chosen, start_services=InstantServices().start)) as running:
        yield running


def body_in_pieces(total_bytes: int) -> Iterator[bytes]:
    piece = b"x" * (1024 * 1024)
    for _ in range(total_bytes // len(piece)):
        yield piece


@pytest.mark.parametrize("declared", [True, False])
def test_httpx_reads_the_refusal(server: LiveServer, declared: bool) -> None:
    content = b"x" * TOO_LARGE if declared else body_in_pieces(TOO_LARGE + LIMIT)
    answer = httpx.post(f"{server.url}/v1/embeddings", content=content, headers=AUTHORIZED, timeout=60)
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "body_too_large")
    assert answer.headers["connection"] == "close"


def test_httpx_reads_the_refusal_of_an_encoding(server: LiveServer) -> None:
    headers = {**AUTHORIZED, "Content-Encoding": "gzip"}
    answer = httpx.post(f"{server.url}/v1/embeddings", content=b"x" * TOO_LARGE, headers=headers, timeout=60)
    assert answer.status_code == 415


@pytest.mark.parametrize("declared", [True, False])
def test_the_standard_library_reads_the_refusal(server: LiveServer, declared: bool) -> None:
    connection = http.client.HTTPConnection(server.host, server.port, timeout=60)
    content = b"x" * TOO_LARGE if declared else body_in_pieces(TOO_LARGE + LIMIT)
    connection.request("POST", "/v1/embeddings", body=content, headers=AUTHORIZED, encode_chunked=not declared)
    answer = connection.getresponse()
    assert answer.status == 413
    assert json.loads(answer.read())["error"]["code"] == "body_too_large"
    connection.close()


@pytest.mark.parametrize("header", ["Expect:", "Expect: 100-continue", "Transfer-Encoding: chunked"])
def test_curl_reads_the_refusal(server: LiveServer, tmp_path: Path, header: str) -> None:
    file = tmp_path / "body"
    file.write_bytes(b"x" * TOO_LARGE)
    command = ["curl", "-sS", "--max-time", "60", "-w", "%{http_code}", "-o", str(tmp_path / "answer"), "-H", header]
    command += ["-H", f"Authorization: Bearer {KEY}", "--data-binary", f"@{file}", f"{server.url}/v1/embeddings"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (0, "413"), ended.stderr
    assert json.loads((tmp_path / "answer").read_bytes())["error"]["code"] == "body_too_large"


def test_who_waits_to_be_told_to_continue_is_told_the_refusal_before_sending_anything(server: LiveServer) -> None:
    head = f"POST /v1/embeddings HTTP/1.1\r\nHost: here\r\nContent-Length: {TOO_LARGE}\r\nExpect: 100-continue\r\n"
    with server.connect() as connection:
        connection.sendall(f"{head}Authorization: Bearer {KEY}\r\n\r\n".encode())
        answer = b""
        while b"body_too_large" not in answer:
            answer += connection.recv(65536)
    assert status_of(answer) == 413


class Client:
    """Sends `pieces` without end unless told a number, and keeps what it is answered."""

    def __init__(self, *, pieces: int | None = None, piece_bytes: int = 1024, pause_seconds: float = 0.0) -> None:
        self.sent_bytes = 0
        self.answer: list[Message] = []
        self._pieces = pieces
        self._piece = b"x" * piece_bytes
        self._pause_seconds = pause_seconds

    async def receive(self) -> Message:
        await asyncio.sleep(self._pause_seconds)
        if self._pieces is not None:
            self._pieces -= 1
        self.sent_bytes += len(self._piece)
        return {"type": "http.request", "body": self._piece, "more_body": self._pieces != 0}

    async def send(self, message: Message) -> None:
        self.answer.append({**message, "after_bytes": self.sent_bytes})


async def refused(client: Client, discard: Discard | None) -> None:
    scope: Scope = {"type": "http"}
    if discard is not None:
        allow_discard(scope, discard)
    send = ending_after_the_body(scope, client.receive, client.send)
    await send({"type": "http.response.start", "status": 413, "headers": []})
    await send({"type": "http.response.body", "body": b"no"})


def whole_answer_came_after(client: Client) -> int:
    """How many bytes had been read when the whole answer was out; checks that the end came last and once."""
    assert [message.get("more_body", False) for message in client.answer[1:]] == [True, False]
    assert [message["body"] for message in client.answer[1:]] == [b"no", b""]
    after: int = client.answer[1]["after_bytes"]
    return after


async def test_the_answer_is_out_before_the_rest_is_read_and_ends_when_it_is() -> None:
    client = Client(pieces=5)
    await refused(client, Discard(max_bytes=1_000_000, timeout_seconds=30))
    assert whole_answer_came_after(client) == 0
    assert client.sent_bytes == 5 * 1024


async def test_no_more_than_the_bound_is_read() -> None:
    client = Client()
    await refused(client, Discard(max_bytes=10_000, timeout_seconds=30))
    assert whole_answer_came_after(client) == 0
    assert client.sent_bytes == 10 * 1024


async def test_dripping_ends_with_the_time() -> None:
    client = Client(pause_seconds=0.005)
    await refused(client, Discard(max_bytes=10**12, timeout_seconds=0.05))
    whole_answer_came_after(client)


async def test_a_client_that_stops_sending_is_not_waited_for() -> None:
    client = Client(pause_seconds=3600)
    await refused(client, Discard(max_bytes=10**12, timeout_seconds=3600, stall_seconds=0.01))
    whole_answer_came_after(client)


async def test_without_leave_nothing_is_read() -> None:
    client = Client()
    await refused(client, None)
    assert client.sent_bytes == 0
    assert [message["type"] for message in client.answer] == ["http.response.start", "http.response.body"]


async def through_the_gateway(client: Client, headers: dict[str, str]) -> int:
    """The status that the whole edge answers."""
    app: ASGIApp = create_app(settings(max_body_bytes=LIMIT, api_keys=(KEY,)), start_services=InstantServices().start)
    raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    scope: Scope = {"type": "http", "method": "POST", "path": "/v1/embeddings", "headers": raw, "query_string": b""}
    receive: Receive = client.receive
    send: Send = client.send
    await app(scope, receive, send)
    status: int = client.answer[0]["status"]
    return status


async def test_nothing_is_read_of_who_has_no_key() -> None:
    client = Client()
    assert await through_the_gateway(client, {"Content-Length": str(TOO_LARGE)}) == 401
    assert client.sent_bytes == 0


async def test_nothing_is_read_of_what_is_declared_to_be_beyond_the_bound() -> None:
    client = Client()
    assert await through_the_gateway(client, {**AUTHORIZED, "Content-Length": str(10 * LIMIT)}) == 413
    assert client.sent_bytes == 0


@pytest.mark.parametrize("headers", [{"Content-Length": str(TOO_LARGE)}, {"Content-Length": str(3 * LIMIT)}])
async def test_a_declared_body_within_the_bound_is_read_away(headers: dict[str, str]) -> None:
    client = Client(pieces=17, piece_bytes=1024 * 1024)
    assert await through_the_gateway(client, {**AUTHORIZED, **headers}) == 413
    assert whole_body(client)
    assert client.sent_bytes == TOO_LARGE


def whole_body(client: Client) -> bytes:
    """What was answered by the time that the first byte after the refusal was read."""
    return b"".join(message.get("body", b"") for message in client.answer if message["after_bytes"] == 0)
