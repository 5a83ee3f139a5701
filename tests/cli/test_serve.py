"""The server on a real socket, spoken to in raw bytes: sizes, speeds, upgrades, and things that are not HTTP."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
from starlette.types import ASGIApp

from gateway.app import create_app
from gateway.cli.serve import listener, run_server
from gateway.errors import SetupError
from gateway.settings import Settings
from gateway.types import TextInput
from tests.support.captured_log import captured_log
from tests.support.edge import settings
from tests.support.instant_services import InstantServices, expected_vector
from tests.support.live_server import LiveServer, live_server, read_to_end, status_of

LIMIT = 1024 * 1024
KEY = "key-1"


def app_for(chosen: Settings, services: InstantServices) -> ASGIApp:
    return create_app(chosen, start_services=services.start)


@pytest.fixture(scope="module")
def services() -> InstantServices:
    return InstantServices()


@pytest.fixture(scope="module")
def server(services: InstantServices) -> Iterator[LiveServer]:
    chosen = settings(max_body_bytes=LIMIT, header_timeout_seconds=0.5, body_timeout_seconds=0.5)
    with live_server(chosen, app_for(chosen, services)) as running:
        yield running


@pytest.fixture(scope="module")
def locked() -> Iterator[LiveServer]:
    chosen = settings(max_body_bytes=LIMIT, api_keys=(KEY,))
    with live_server(chosen, app_for(chosen, InstantServices())) as running:
        yield running


def post(body: bytes, *headers: str, close: bool = True) -> bytes:
    lines = ["POST /v1/embeddings HTTP/1.1", "Host: here", f"Content-Length: {len(body)}", *headers]
    if close:
        lines.append("Connection: close")
    return "\r\n".join([*lines, "", ""]).encode() + body


def json_of(answer: bytes) -> dict[str, object]:
    parsed = json.loads(answer.partition(b"\r\n\r\n")[2])
    assert isinstance(parsed, dict)
    return parsed


def code_of(answer: bytes) -> object:
    error = json_of(answer)["error"]
    assert isinstance(error, dict)
    return error["code"]


def test_an_ordinary_request(server: LiveServer) -> None:
    answer = server.exchange(post(b'{"input": "a"}'))
    assert status_of(answer) == 200
    assert json_of(answer)["object"] == "list"


@pytest.mark.parametrize("rows", [16, 600])
def test_a_large_answer_in_numbers_arrives_whole(server: LiveServer, services: InstantServices, rows: int) -> None:
    vectors = np.random.default_rng(1).uniform(-0.9, 0.9, (rows, 1024)).astype(np.float32)
    services.embedder.fixed = vectors
    try:
        answer = server.exchange(post(b'{"input": "a"}'))
    finally:
        services.embedder.fixed = None
    data = json_of(answer)["data"]
    assert isinstance(data, list)
    read = np.array([item["embedding"] for item in data], np.float64).astype(np.float32)
    assert np.array_equal(read, vectors)


def test_the_server_does_not_tell_what_it_runs_on(server: LiveServer) -> None:
    assert b"\r\nserver:" not in server.exchange(post(b'{"input": "a"}')).lower()


def test_a_gigabyte_is_refused_by_its_declaration(server: LiveServer) -> None:
    with server.connect() as connection:
        connection.sendall(
            b"POST /v1/embeddings HTTP/1.1\r\nHost: here\r\nContent-Length: 1073741824\r\n\r\n" + b"x" * 100
        )
        answer = read_to_end(connection)
    assert status_of(answer) == 413
    assert code_of(answer) == "body_too_large"
    assert b"connection: close" in answer.lower()


def test_expect_100_continue_is_answered_with_the_refusal_at_once(server: LiveServer) -> None:
    head = b"POST /v1/embeddings HTTP/1.1\r\nHost: here\r\nContent-Length: 1073741824\r\nExpect: 100-continue\r\n\r\n"
    assert status_of(server.exchange(head)) == 413


def test_an_endless_chunked_body_is_cut_off_without_being_kept(server: LiveServer) -> None:
    before = psutil.Process().memory_info().rss
    chunk = b"10000\r\n" + b"x" * 65536 + b"\r\n"
    sent = 0
    with server.connect() as connection:
        connection.sendall(b"POST /v1/embeddings HTTP/1.1\r\nHost: here\r\nTransfer-Encoding: chunked\r\n\r\n")
        try:
            while sent < 512 * LIMIT:
                connection.sendall(chunk)
                sent += len(chunk)
        except OSError:
            pass
        answer = read_to_end(connection)
    assert status_of(answer) == 413
    assert sent < 64 * LIMIT  # the limit plus what the sockets of both sides hold
    assert psutil.Process().memory_info().rss - before < 64 * LIMIT


def test_tiny_chunks_are_put_together(server: LiveServer) -> None:
    body = b'{"input": "in six-byte pieces"}'
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(body[i : i + 6]), body[i : i + 6]) for i in range(0, len(body), 6))
    head = b"POST /v1/embeddings HTTP/1.1\r\nHost: here\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    answer = server.exchange(head + chunks + b"0\r\n\r\n")
    assert status_of(answer) == 200


def test_a_body_that_stalls_is_answered_408(server: LiveServer) -> None:
    answer = server.exchange(post(b"", close=False).replace(b"Content-Length: 0", b"Content-Length: 50") + b'{"inp')
    assert (status_of(answer), code_of(answer)) == (408, "body_too_slow")


@pytest.mark.parametrize("start", [b"", b"POST /v1/emb", b"POST /v1/embeddings HTTP/1.1\r\nHost: here\r\n"])
def test_headers_that_stall_are_hung_up_on(server: LiveServer, start: bytes) -> None:
    assert server.exchange(start) == b""


def test_dripping_headers_buys_no_time(server: LiveServer) -> None:
    with server.connect() as connection:
        deadline = time.monotonic() + 20
        connection.sendall(b"POST /v1/embeddings HTTP/1.1\r\n")
        refused = False
        while not refused and time.monotonic() < deadline:
            time.sleep(0.05)
            try:
                connection.sendall(b"x-a: b\r\n")
            except OSError:
                refused = True
    assert refused


def test_a_second_request_on_a_kept_connection_has_a_header_limit_too(server: LiveServer) -> None:
    with server.connect() as connection:
        connection.sendall(post(b'{"input": "a"}', close=False))
        assert connection.recv(65536)
        time.sleep(0.7)  # idle between requests is no slow header
        connection.sendall(b"POST /v1/em")
        rest = read_to_end(connection)
    assert b"HTTP/1.1 2" not in rest


def test_pipelined_requests_are_answered_in_order(server: LiveServer) -> None:
    answers = server.exchange(post(b'{"input": "a"}', close=False) + post(b'{"input": 1}'))
    assert answers.index(b"HTTP/1.1 200") < answers.index(b"HTTP/1.1 400")


def test_an_offer_to_upgrade_to_http2_keeps_its_body(server: LiveServer) -> None:
    offer = (
        "Connection: Upgrade, HTTP2-Settings",
        "Upgrade: h2c",
        "HTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA",
    )
    with server.connect() as connection:
        connection.sendall(post(b'{"input": "from a JDK client", "dimensions": 4}', *offer, close=False))
        answer = connection.recv(65536)
        while b"usage" not in answer:
            answer += connection.recv(65536)
    assert status_of(answer) == 200
    data = json_of(answer)["data"]
    assert isinstance(data, list)
    vector = expected_vector(TextInput("from a JDK client"), 4)
    assert data[0]["embedding"] == pytest.approx(vector.tolist(), abs=1e-7)


@pytest.mark.parametrize(
    "nonsense",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 canary \r\n\r\n",  # TLS to a plain port
        b"canary\r\n\r\n",
        b"GET /canary HTTP/1.1\r\n\r\n",  # no Host
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"canary" * 500_000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nbad header canary\r\n\r\n",
        b"GET /\x00canary HTTP/1.1\r\nHost: a\r\n\r\n",
    ],
)
def test_what_is_not_http_is_refused_in_the_envelope(server: LiveServer, nonsense: bytes) -> None:
    answer = server.exchange(nonsense)
    assert status_of(answer) == 400
    assert code_of(answer) == "malformed_request"
    assert b"x-request-id: " in answer
    assert b"canary" not in answer


@pytest.mark.parametrize("fill", ["X: " + "a" * 40_000, "\r\n".join(["X: a"] * 8000)])
def test_headers_beyond_the_limit_are_refused_even_in_one_piece(server: LiveServer, fill: str) -> None:
    answer = server.exchange(f"GET /live HTTP/1.1\r\nHost: a\r\n{fill}\r\nConnection: close\r\n\r\n".encode())
    assert (status_of(answer), code_of(answer)) == (400, "malformed_request")


def test_headers_within_the_limit_are_read_with_the_body_behind_them(server: LiveServer) -> None:
    answer = server.exchange(post(json.dumps({"input": "a" * 100_000}).encode(), "X: " + "a" * 30_000))
    assert status_of(answer) == 200


def test_a_request_hidden_behind_conflicting_lengths_is_not_answered(server: LiveServer) -> None:
    hiding = (
        b"POST /v1/embeddings HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"0\r\n\r\nGET /v1/models HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    )
    answer = server.exchange(hiding)
    assert status_of(answer) == 400
    assert answer.count(b"HTTP/1.1 ") == 1
    assert b"Content-Length" in answer


def test_keys_are_checked_before_the_body(locked: LiveServer) -> None:
    with locked.connect() as connection:
        connection.sendall(b"POST /v1/embeddings HTTP/1.1\r\nHost: here\r\nContent-Length: 1000000\r\n\r\n")
        answer = read_to_end(connection)
    assert (status_of(answer), code_of(answer)) == (401, "invalid_api_key")


def test_a_client_that_leaves_cancels_its_work(server: LiveServer, services: InstantServices) -> None:
    services.embedder.hold = True
    try:
        seen = len(services.embedder.seen)
        connection = server.connect()
        connection.sendall(post(b'{"input": "a"}', close=False))
        _wait_for(lambda: len(services.embedder.seen) > seen)
        connection.close()
        _wait_for(services.embedder.cancelled.is_set)
    finally:
        services.embedder.hold = False
    assert status_of(server.exchange(post(b'{"input": "a"}'))) == 200


def test_the_server_serves_others_while_slow_clients_hang_on(server: LiveServer) -> None:
    slow = [server.connect() for _ in range(100)]
    try:
        for connection in slow:
            connection.sendall(b"POST /v1/embeddings HTTP/1.1\r\nHost: here\r\nContent-Length: 50\r\n\r\n{")
        assert status_of(server.exchange(post(b'{"input": "a"}'))) == 200
    finally:
        for connection in slow:
            connection.close()


def test_what_is_still_running_when_the_time_to_drain_is_over_is_told_to_try_again() -> None:
    services = InstantServices()
    services.embedder.hold = True
    chosen = settings(drain_seconds=0)
    with live_server(chosen, app_for(chosen, services)) as running:
        connection = running.connect()
        connection.sendall(post(b'{"input": "a"}'))
        _wait_for(lambda: len(services.embedder.seen) == 1)
    with connection:
        answer = read_to_end(connection)
    assert (status_of(answer), code_of(answer)) == (503, "shutting_down")
    assert b"retry-after: 1" in answer
    assert services.embedder.cancelled.is_set()


def test_running_requests_are_finished_while_draining() -> None:
    services = InstantServices()
    services.embedder.pause_seconds = 0.3
    chosen = settings(drain_seconds=10)
    with live_server(chosen, app_for(chosen, services)) as running:
        connection = running.connect()
        connection.sendall(post(b'{"input": "a"}'))
        _wait_for(lambda: len(services.embedder.seen) == 1)
    with connection:
        assert status_of(read_to_end(connection)) == 200


def test_a_taken_port_names_its_holder() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SetupError, match=rf"{port}.*process {os.getpid()}") as caught, listener("127.0.0.1", port):
            pass
    assert "--port" in str(caught.value.remedy)


def test_an_address_that_is_not_ours_is_a_setup_error() -> None:
    with pytest.raises(SetupError, match="cannot listen"), listener("192.0.2.1", 0):
        pass


def test_settings_that_only_show_to_be_wrong_at_the_start_are_told_as_a_setup_error(tmp_path: Path) -> None:
    wrong = settings(port=0, model_repository=tmp_path, default_model="none", log_level="error")
    with captured_log(level="error"), pytest.raises(SetupError, match="'none'") as caught:
        run_server(wrong, create_app(wrong))
    assert "GATEWAY_DEFAULT_MODEL" in str(caught.value.remedy)


def test_a_missing_model_repository_is_told_before_anything_starts(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="does not exist"):
        create_app(settings(model_repository=tmp_path / "none"))


STOPPING = """
import gc
from gateway.app import create_app
from gateway.cli.serve import run_server
from tests.support.captured_log import captured_log
from tests.support.edge import settings
from tests.support.instant_services import InstantServices

chosen = settings(port=0, log_format="json")
run_server(chosen, create_app(chosen, start_services=InstantServices().start))
print("after the server", flush=True)
print("out of the collector's sight:", gc.get_freeze_count() > 50_000, flush=True)
"""


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_signal_ends_it_cleanly_and_what_follows_still_runs(stop: signal.Signals) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", STOPPING], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=Path.cwd()
    )
    watchdog = threading.Timer(30, process.kill)
    watchdog.start()
    try:
        assert process.stderr is not None
        lines = iter(process.stderr)
        listening = json.loads(next(line for line in lines if "listening" in line))
        with socket.create_connection(("127.0.0.1", listening["port"]), timeout=10) as connection:
            connection.sendall(post(b'{"input": "a"}'))
            assert status_of(read_to_end(connection)) == 200
        process.send_signal(stop)
        output, _ = process.communicate()
    finally:
        watchdog.cancel()
        process.kill()
    assert process.returncode == 0
    assert "after the server" in output
    assert "out of the collector's sight: True" in output


def _wait_for(condition: Callable[[], bool], timeout_seconds: float = 20.0) -> None:
    deadline = time.monotonic() + timeout_seconds
    while not condition():
        assert time.monotonic() < deadline, "timed out"
        time.sleep(0.01)
