"""What is read as HTTP and what is refused, spoken to a live server in raw bytes."""

from __future__ import annotations

import json
import re
import socket
import time
from collections.abc import Iterator

import pytest
from starlette.types import ASGIApp, Receive, Scope, Send

from tests.support.edge import settings
from tests.support.live_server import LiveServer, live_server, read_to_end, status_of

HEADER_TIMEOUT_SECONDS = 0.5
MAX_HEADER_BYTES = 32 * 1024
OFFER = (
    b"Connection: Upgrade, HTTP2-Settings\r\n"
    b"HTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA\r\n"
    b"Upgrade: h2c\r\n"
)


async def mirror(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers what it was asked, as JSON; `/ignored` without reading the body, `/early` before the body is there."""
    if scope["type"] == "lifespan":
        for phase in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{phase}.complete"})
        return
    body, more = b"", scope["path"] != "/ignored"
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        body += message["body"]
        more = message["more_body"] and scope["path"] != "/early"
    headers = [[name.decode(), value.decode("latin-1")] for name, value in scope["headers"]]
    told = {key: scope[key] for key in ("method", "path", "http_version")}
    told |= {"query": scope["query_string"].decode(), "headers": headers, "body": body.decode("latin-1")}
    answer = json.dumps(told).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(answer))]})
    await send({"type": "http.response.body", "body": answer})


@pytest.fixture(scope="module")
def server() -> Iterator[LiveServer]:
    app: ASGIApp = mirror
    with live_server(settings(header_timeout_seconds=HEADER_TIMEOUT_SECONDS, drain_seconds=0), app) as running:
        yield running


def post(body: bytes = b"", *lines: bytes, path: bytes = b"/a", close: bool = True) -> bytes:
    head = [b"POST %b HTTP/1.1" % path, b"Host: here", b"Content-Length: %d" % len(body), *lines]
    return b"\r\n".join([*head, *([b"Connection: close"] if close else []), b"", body])


def told(answer: bytes) -> dict[str, object]:
    """What the mirror saw of the one request that was answered."""
    assert status_of(answer) == 200, answer
    parsed = json.loads(answer.partition(b"\r\n\r\n")[2])
    assert isinstance(parsed, dict)
    return parsed


def read_answer(connection: socket.socket) -> bytes:
    """One answer of a connection that stays open."""
    answer = b""
    while b"\r\n\r\n" not in answer:
        answer += connection.recv(65536)
    head, _, body = answer.partition(b"\r\n\r\n")
    length = next(int(line[16:]) for line in head.split(b"\r\n") if line.startswith(b"content-length: "))
    while len(body) < length:
        body += connection.recv(65536)
    return head + b"\r\n\r\n" + body


def answers_in(received: bytes) -> int:
    return len(re.findall(rb"HTTP/1\.1 \d{3} ", received))


def send_slowly(server: LiveServer, *parts: bytes) -> bytes:
    with server.connect() as connection:
        for part in parts:
            connection.sendall(part)
            time.sleep(0.02)
        return read_to_end(connection)


def check_refused(answer: bytes, *, said: str = "") -> None:
    """One answer, in the envelope, and the end of the connection."""
    assert status_of(answer) == 400, answer
    assert answers_in(answer) == 1
    parsed = json.loads(answer.partition(b"\r\n\r\n")[2])
    assert parsed["error"]["code"] == "malformed_request"
    assert parsed["detail"] == parsed["error"]["message"]
    assert said in parsed["detail"]
    assert b"x-request-id: " in answer
    assert b"connection: close" in answer


# As the JDK's client sends it, headers first.
JDK = (
    b"POST /a HTTP/1.1\r\n"
    + OFFER.replace(b"Upgrade: h2c\r\n", b"")
    + b"Content-Length: 17\r\nHost: localhost:8080\r\n"
    b"Upgrade: h2c\r\nUser-Agent: Java-http-client/21.0.2\r\n\r\n"
)


@pytest.mark.parametrize("step", [10_000, 40, 7, 1])
def test_an_offer_of_http2_keeps_its_body_however_it_is_cut(server: LiveServer, step: int) -> None:
    whole = JDK + b'{"input": "abcd"}'
    with server.connect() as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for start in range(0, len(whole), step):
            connection.sendall(whole[start : start + step])
        seen = told(read_answer(connection))
        assert seen["body"] == '{"input": "abcd"}'
        assert ["user-agent", "Java-http-client/21.0.2"] in seen["headers"]  # type: ignore[operator]
        # The connection stays what it was, also for a second offer.
        connection.sendall(JDK + b'{"input": "efgh"}')
        assert told(read_answer(connection))["body"] == '{"input": "efgh"}'
        connection.sendall(post(b"third"))
        assert told(read_to_end(connection))["body"] == "third"


def test_an_offer_with_a_body_in_chunks_or_none_is_served_too(server: LiveServer) -> None:
    chunked = b"POST /a HTTP/1.1\r\nHost: a\r\n%bTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n" % OFFER
    bare = b"GET /b HTTP/1.1\r\nHost: a\r\nConnection: close, Upgrade\r\nUpgrade: websocket\r\n\r\n"
    with server.connect() as connection:
        connection.sendall(chunked)
        assert told(read_answer(connection))["body"] == "abc"
        connection.sendall(bare)
        assert told(read_to_end(connection))["path"] == "/b"


def test_a_large_body_behind_an_offer_arrives_whole(server: LiveServer) -> None:
    body = b"abcdefgh" * 100_000
    head = b"POST /a HTTP/1.1\r\nHost: a\r\n%bContent-Length: %d\r\n\r\n" % (OFFER, len(body))
    with server.connect() as connection:
        connection.sendall(head + body)
        assert told(read_answer(connection))["body"] == body.decode()


HEAD = b"POST /a HTTP/1.1\r\nHost: here\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
HIDDEN = b"GET /hidden HTTP/1.1\r\nHost: here\r\n\r\n"


@pytest.mark.parametrize(
    "request_bytes",
    [
        HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
        HEAD + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
        HEAD + b"Content-Length: 3, 3\r\n\r\nabc",
        HEAD + b"Content-Length: +3\r\n\r\nabc",
        HEAD + b"Content-Length: 0x3\r\n\r\nabc",
        HEAD + b"Content-Length: 3 3\r\n\r\nabc",
        HEAD + b"Content-Length: \r\n\r\nabc",
        HEAD + b"Content-Length: 99999999999999999999999\r\n\r\nabc",
        HEAD + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        HEAD + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        HEAD + b"Transfer-Encoding: identity\r\n\r\n0\r\n\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        HEAD + b"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
        HEAD + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        HEAD + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
        b"POST /a HTTP/1.0\r\nHost: here\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        CHUNKED + b"1;a\nx\r\n0\r\n\r\n",
        CHUNKED + b"1\nx\n0\n\n",
        CHUNKED + b"0x1\r\nx\r\n0\r\n\r\n",
        CHUNKED + b"-1\r\nx\r\n0\r\n\r\n",
        CHUNKED + b"fffffffffffffffff\r\nx\r\n0\r\n\r\n",
        CHUNKED + b"1\r\nxyz\r\n0\r\n\r\n",
        b"POST /a HTTP/1.1\nHost: here\n\n",
        b"POST /a HTTP/1.1\r\nHost: here\nX: y\r\n\r\n",
        b"POST /a HTTP/1.1\r\nHost: here\r\n\n",
        b"POST /a HTTP/1.1\r\nHost: here\rX: y\r\n\r\n",
        HEAD + b"X: a\r\n folded\r\n\r\n",
        HEAD + b"X: a\r\n\tfolded\r\n\r\n",
        HEAD + b"X : a\r\n\r\n",
        HEAD + b": a\r\n\r\n",
        HEAD + b"X\x01: a\r\n\r\n",
        HEAD + b"X: a\0b\r\n\r\n",
        b"POST /a HTTP/1.1\r\n Host: here\r\n\r\n",
        b"POST /a HTTP/1.1\r\nHost: here\r\nHost: there\r\n\r\n",
        b"POST /a HTTP/1.1\r\n\r\n",
        b"GET /\r\n\r\n",
        b"GET / HTTP/1.2\r\nHost: here\r\n\r\n",
        b"GET / HTTP/2.0\r\nHost: here\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"get / HTTP/1.1\r\nHost: here\r\n\r\n",
        b"BREW / HTTP/1.1\r\nHost: here\r\n\r\n",
        b"GET /a b HTTP/1.1\r\nHost: here\r\n\r\n",
        b"GET /\xc3\xa9 HTTP/1.1\r\nHost: here\r\n\r\n",
        b"GET\t/a HTTP/1.1\r\nHost: here\r\n\r\n",
        b"CONNECT there:443 HTTP/1.1\r\nHost: there:443\r\n\r\n",
    ],
)
@pytest.mark.parametrize("behind_another", [False, True])
def test_what_proxies_may_read_otherwise_is_refused_with_all_behind_it(
    server: LiveServer, request_bytes: bytes, behind_another: bool
) -> None:
    answer = server.exchange((post(b"first", close=False) if behind_another else b"") + request_bytes + HIDDEN)
    if behind_another:
        first, mark, answer = answer.partition(b'"first"}')
        assert status_of(first) == 200
        assert mark
    check_refused(answer)


def test_a_refusal_says_why_and_quotes_nothing(server: LiveServer) -> None:
    check_refused(server.exchange(HEAD + b"canary header\r\n\r\n"), said="Invalid header token")
    check_refused(server.exchange(b"POST /canary HTTP/1.1\r\n\r\n"), said="one Host header")
    assert b"canary" not in server.exchange(HEAD + b"canary header\r\n\r\n")
    check_refused(server.exchange(b"GET / HTTP/1.1\r\n%b\r\n" % OFFER), said="one Host header")


def test_a_body_that_goes_wrong_on_its_way_is_refused_and_the_application_let_go(server: LiveServer) -> None:
    check_refused(send_slowly(server, CHUNKED, b"3\r\nabc\r\n", b"nonsense\r\n"))


def test_a_body_that_goes_wrong_after_its_answer_ends_the_connection_without_a_second(server: LiveServer) -> None:
    head = b"POST /ignored HTTP/1.1\r\nHost: here\r\nTransfer-Encoding: chunked\r\n\r\n"
    answer = send_slowly(server, head, b"3\r\nabc\r\n", b"nonsense\r\n")
    assert answers_in(answer) == 1
    assert answer.startswith(b"HTTP/1.1 200")


def test_trailers_are_no_headers(server: LiveServer) -> None:
    trailing = (
        b"POST /a HTTP/1.1\r\nHost: here\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
        b"1\r\nx\r\n0\r\nAuthorization: Bearer smuggled\r\nX-Request-Id: smuggled\r\n\r\n"
    )
    seen = told(server.exchange(trailing))
    assert seen["body"] == "x"
    assert "smuggled" not in json.dumps(seen)


def test_nothing_behind_a_request_that_ends_the_connection_is_answered(server: LiveServer) -> None:
    assert answers_in(server.exchange(post(b"last") + HIDDEN)) == 1


def test_forms_of_targets(server: LiveServer) -> None:
    seen = told(server.exchange(b"GET http://here/a%20b?c=d%20e HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n"))
    assert (seen["path"], seen["query"]) == ("/a b", "c=d%20e")
    seen = told(server.exchange(b"GET /x%2Fy?q?r HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n"))
    assert (seen["path"], seen["query"]) == ("/x/y", "q?r")
    seen = told(server.exchange(b"OPTIONS * HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n"))
    assert (seen["method"], seen["path"]) == ("OPTIONS", "*")


def test_values_come_without_the_space_around_them_and_names_in_lower_case(server: LiveServer) -> None:
    seen = told(server.exchange(post(b"", b"X-Odd:  \t a b \t ", b"x-empty:")))
    assert ["x-odd", "a b"] in seen["headers"]  # type: ignore[operator]
    assert ["x-empty", ""] in seen["headers"]  # type: ignore[operator]


def test_http_1_0_is_answered_and_hung_up_on(server: LiveServer) -> None:
    answer = server.exchange(b"POST /a HTTP/1.0\r\nContent-Length: 3\r\n\r\nabc")
    assert told(answer)["body"] == "abc"
    assert told(answer)["http_version"] == "1.0"
    assert b"connection: close" in answer


def test_http_1_0_is_never_told_to_continue(server: LiveServer) -> None:
    answer = server.exchange(b"POST /a HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabc")
    assert told(answer)["body"] == "abc"


@pytest.mark.parametrize("lines", [[b"Expect: 100-continue"], [b"expect: 100-CONTINUE"]])
def test_who_expects_to_be_told_to_continue_is_told_when_the_body_is_wanted(
    server: LiveServer, lines: list[bytes]
) -> None:
    head, _, body = post(b"abc", *lines).partition(b"\r\n\r\n")
    with server.connect() as connection:
        connection.sendall(head + b"\r\n\r\n")
        assert connection.recv(65536) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(body)
        assert told(read_to_end(connection))["body"] == "abc"
    unwanted = head.replace(b"/a", b"/ignored") + b"\r\n\r\n"
    with server.connect() as connection:
        connection.sendall(unwanted)
        assert status_of(read_to_end(connection)) == 200


def test_pipelined_requests_of_all_kinds_are_answered_in_order_whatever_their_pieces(server: LiveServer) -> None:
    requests = b""
    for number in range(60):
        if number % 3 == 0:
            requests += post(b"%d" % number * 3000, close=False, path=b"/%d" % number)
        elif number % 3 == 1:
            body = b"5\r\nchunk\r\n" * 700 + b"0\r\n\r\n"
            requests += b"POST /%d HTTP/1.1\r\nHost: here\r\nTransfer-Encoding: chunked\r\n\r\n%b" % (number, body)
        else:
            requests += b"GET /%d HTTP/1.1\r\nHost: here\r\n\r\n" % number
    requests += post(b"", path=b"/60")
    for step in (len(requests), 10_007):
        with server.connect() as connection:
            for start in range(0, len(requests), step):
                connection.sendall(requests[start : start + step])
            answers = read_to_end(connection)
        order = [json.loads(b"{" + part.partition(b"{")[2]) for part in answers.split(b"HTTP/1.1 ")[1:]]
        assert [seen["path"] for seen in order] == [f"/{number}" for number in range(61)]
        assert order[4]["body"] == "chunk" * 700
        assert order[3]["body"] == "3" * 3000


@pytest.mark.parametrize("start", [b"", b"POST /a HTTP/1.1\r\nHost: a\r\nX-"])
def test_who_begins_a_second_request_and_stops_is_hung_up_on(server: LiveServer, start: bytes) -> None:
    with server.connect() as connection:
        connection.sendall(post(b"x", close=False) + start)
        told(read_answer(connection))
        if start:
            assert read_to_end(connection) == b""
        else:
            time.sleep(2 * HEADER_TIMEOUT_SECONDS)  # nothing begun: no limit but the idle one
            connection.sendall(post(b"y"))
            assert told(read_to_end(connection))["body"] == "y"


def test_who_drips_the_rest_of_a_body_that_is_answered_already_is_hung_up_on(server: LiveServer) -> None:
    with server.connect() as connection:
        connection.sendall(b"POST /ignored HTTP/1.1\r\nHost: here\r\nContent-Length: 1000\r\n\r\n")
        told(read_answer(connection))
        cut_off = False
        for _ in range(100):
            time.sleep(0.05)
            try:
                connection.sendall(b"x")
            except OSError:
                cut_off = True
                break
        assert cut_off


def test_a_body_that_comes_after_its_answer_leaves_the_connection_in_order(server: LiveServer) -> None:
    with server.connect() as connection:
        connection.sendall(b"POST /ignored HTTP/1.1\r\nHost: here\r\nContent-Length: 3\r\n\r\n")
        told(read_answer(connection))
        connection.sendall(b"abc" + post(b"next"))
        assert told(read_to_end(connection))["body"] == "next"


@pytest.mark.parametrize("step", [1_000_000, 3000])
@pytest.mark.parametrize(
    "fill",
    [
        b"X: " + b"a" * MAX_HEADER_BYTES,
        b"\r\n".join([b"X: a"] * (MAX_HEADER_BYTES // 6)),
        b"X: " + b"a" * 3_000_000,
        b"a" * MAX_HEADER_BYTES + b": x",
    ],
    ids=["a value", "many", "a huge value", "a name"],
)
@pytest.mark.parametrize("before", [b"", post(b"x", close=False)], ids=["first", "second"])
def test_headers_beyond_the_limit_are_refused(server: LiveServer, fill: bytes, step: int, before: bytes) -> None:
    request_bytes = before + HEAD + fill + b"\r\n\r\n"
    with server.connect() as connection:
        try:
            for start in range(0, len(request_bytes), step):
                connection.sendall(request_bytes[start : start + step])
        except OSError:
            pass
        answer = read_to_end(connection)
    if before:
        answer = answer.partition(b'"x"}')[2]
    check_refused(answer, said=str(MAX_HEADER_BYTES))


def test_a_target_beyond_the_limit_is_refused(server: LiveServer) -> None:
    check_refused(server.exchange(b"GET /%b HTTP/1.1\r\nHost: here\r\n\r\n" % (b"a" * 40_000)))


@pytest.mark.parametrize("filler", [b"1;" + b"e" * 200_000, b"0\r\nX: " + b"t" * 200_000])
def test_an_endless_chunk_extension_or_trailer_is_refused(server: LiveServer, filler: bytes) -> None:
    check_refused(server.exchange(CHUNKED + filler))


def test_a_client_that_hangs_up_in_the_middle_of_anything_harms_nobody(server: LiveServer) -> None:
    whole = post(b"a body of some length", close=False)
    for end in range(1, len(whole), 7):
        with server.connect() as connection:
            connection.sendall(whole[:end])
    for _ in range(5):
        with server.connect() as connection:
            connection.sendall(post(b"x" * 3_000_000, close=False))
            connection.recv(1000)  # and leaves in the middle of the answer
    assert told(server.exchange(post(b"still here")))["body"] == "still here"
