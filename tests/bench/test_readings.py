"""What is read off the system and the gateway's metrics."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.bench.machine import (
    Before,
    CoreTimes,
    During,
    during,
    gateway_settings,
    hardware,
    look_before,
    versions,
    warnings_before,
    warnings_during,
)
from gateway.bench.padding import SentTokens, padding_ratio, sent_tokens
from gateway.bench.processes import cpu_seconds, listener_on
from gateway.telemetry.metrics import build_metrics, render_metrics


def test_padding_is_read_from_the_page_that_the_gateway_writes() -> None:
    metrics = build_metrics(version="1")
    metrics.real_tokens.labels("this").inc(100)
    metrics.padded_tokens.labels("this").inc(125)
    metrics.real_tokens.labels("that").inc(7)
    page = render_metrics(metrics).decode()
    assert sent_tokens(page, model="this") == SentTokens(100, 125)
    assert sent_tokens(page, model="that") is None
    assert sent_tokens("", model="this") is None


@given(st.integers(0, 10**6), st.integers(1, 10**6), st.floats(1, 5))
def test_the_ratio_is_of_what_came_between_two_readings(earlier: int, sent: int, ratio: float) -> None:
    before = SentTokens(earlier, 2.0 * earlier)
    after = SentTokens(earlier + sent, 2.0 * earlier + ratio * sent)
    assert padding_ratio(before, after) == pytest.approx(ratio)
    assert padding_ratio(before, before) is None
    assert padding_ratio(None, after) is padding_ratio(before, None) is None


def test_processor_time_of_a_process_counts_those_below_it() -> None:
    burn = "import time\nwhile time.process_time() < 0.3: pass\ntime.sleep(60)"
    parent = f"import subprocess, sys, time\nsubprocess.Popen([sys.executable, '-c', {burn!r}])\ntime.sleep(60)"
    process = subprocess.Popen([sys.executable, "-c", parent], start_new_session=True)
    try:
        end = time.monotonic() + 20
        while (cpu_seconds(process.pid) or 0) < 0.3:
            assert time.monotonic() < end
            time.sleep(0.05)
    finally:
        os.killpg(process.pid, 9)
        process.wait()
    assert cpu_seconds(process.pid) is None
    assert cpu_seconds(None) is None


def test_a_listener_on_this_machine_is_found_by_its_port() -> None:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        port = listening.getsockname()[1]
        assert listener_on("127.0.0.1", port) == listener_on("localhost", port) == os.getpid()
        assert listener_on("192.0.2.1", port) is None
    assert listener_on("127.0.0.1", port) is None


def test_a_busy_machine_is_told_of_and_a_quiet_one_is_not() -> None:
    assert warnings_before(Before((0.0, 0.0, 0.0), 0.01)) == []
    assert warnings_during(During(0.01, 0.0)) == []
    assert "load" in warnings_before(Before((9e3, 0.0, 0.0), 0.0))[0]
    assert "90%" in warnings_before(Before((0.0, 0.0, 0.0), 0.9))[0]
    assert "not measured used 50%" in warnings_during(During(0.5, 0.0))[0]
    assert "hypervisor gave 20%" in warnings_during(During(0.0, 0.2))[0]


def test_what_others_used_is_what_the_clocks_show_beyond_our_own() -> None:
    cores = os.cpu_count() or 1
    seen = during(CoreTimes(0.0, 0.0, 0.0), CoreTimes(10.0, 6.0 * cores, 1.0 * cores), own_seconds=4.0 * cores)
    assert seen.others_share == pytest.approx(0.2)
    assert seen.steal_share == pytest.approx(0.1)
    # Clocks tick coarsely: a little less than nothing is nothing.
    assert during(CoreTimes(0, 0, 0), CoreTimes(1, 1, 0), own_seconds=1.1).others_share == 0


def test_the_machine_is_named() -> None:
    seen = look_before(0.01)
    assert 0 <= seen.busy_share <= 1.5
    assert hardware()["cores"] == str(os.cpu_count())
    assert "triton-embeddings-gateway" in versions()


def test_settings_that_change_what_is_computed_are_handed_on_and_secrets_are_not() -> None:
    environment = {
        "GATEWAY_CALLS_IN_FLIGHT": "3",
        "GATEWAY_TOKENIZER_THREADS": "1",
        "GATEWAY_API_KEYS": "secret",
        "GATEWAY_HF_TOKEN": "secret",
        "GATEWAY_PORT": "1",
        "GATEWAY_RUN_FOLDER": "/x",
        "GATEWAY_MODELS": "other",
        "PATH": "/bin",
    }
    assert gateway_settings(environment) == {"GATEWAY_CALLS_IN_FLIGHT": "3", "GATEWAY_TOKENIZER_THREADS": "1"}
