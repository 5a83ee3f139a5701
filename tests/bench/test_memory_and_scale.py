"""Memory's figures and flatness out of samples whose answer is known; sending a fixed number of texts loses none."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import subprocess
import sys
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.bench.accounting import Account
from gateway.bench.contenders import HttpContender
from gateway.bench.encoding import DIMENSIONS, ROWS, unit_vectors
from gateway.bench.measurement import Generator, Measurement
from gateway.bench.processes import memory_bytes
from gateway.bench.scaling import TEXTS_A_REQUEST, flatness, scaling
from gateway.bench.soak import CLIENTS, WORDS_A_TEXT, Memory, memory_figures, soak
from gateway.bench.texts import alike_lengths, texts_of_words
from gateway.bench.workloads import quick_plan
from tests.bench.servers import answered, embeddings, scripted

PLAN = quick_plan([], repeats=1, seconds=0.1, limit_seconds=60)


def samples(*held: int) -> Memory:
    return Memory(None, [float(place) for place in range(len(held))], list(held))


@given(st.integers(-5, 5), st.integers(20, 400))
def test_a_slope_is_that_of_the_second_half_whatever_the_first_needed(per_second: int, count: int) -> None:
    """Megabytes: fifty in steps that are needed once, then a line."""
    once = [1_000_000 * (100 + 50 * place // count) for place in range(count)]
    line = [1_000_000 * (500 + per_second * place) for place in range(count)]
    found = memory_figures(samples(100_000_000, 100_000_000), samples(*once, *line))
    assert found["memory_idle_mb"] == 100
    assert found["memory_slope_mb_per_minute"] == pytest.approx(60 * per_second, abs=1e-6)
    assert found["memory_peak_mb"] == pytest.approx(max([*once, *line]) / 1e6)
    assert found["memory_rise_mb"] == pytest.approx(found["memory_peak_mb"] - 100)


def test_without_samples_there_is_nothing_to_say() -> None:
    assert memory_figures(samples(), samples(1)) == {}
    assert "memory_slope_mb_per_minute" not in memory_figures(samples(1), samples(1))


def test_memory_counts_what_is_below_a_process_and_shared_pages_once() -> None:
    """A parent that fills 200 MB and forks: the child shares them, so both together hold little more than one."""
    script = (
        "import os, time\nheld = bytearray(os.urandom(1) * 200_000_000)\n"
        "if os.fork():\n    print('ready', flush=True)\ntime.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", script], start_new_session=True, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        end = time.monotonic() + 20
        while not (held := memory_bytes(process.pid)):
            assert time.monotonic() < end
        assert 200e6 < held < 300e6
    finally:
        os.killpg(process.pid, 9)
        process.wait()
        if process.stdout is not None:
            process.stdout.close()
    assert memory_bytes(process.pid) is None
    assert memory_bytes(None) is None


def test_a_rate_that_falls_with_the_number_of_texts_shows_by_the_clock_and_by_processor_time() -> None:
    def one(size: int, rate: float, cpu: float) -> Measurement:
        return Measurement(
            f"scaling-{size}",
            "gateway",
            Generator.PYTHON,
            0,
            {"texts_per_second": rate, "texts_per_cpu_second": cpu},
        )

    found = dict(flatness([one(1000, 900.0, 500.0), one(10_000, 1000.0, 480.0), one(100_000, 450.0, 490.0)]))
    assert found == {"slowest_over_fastest": 0.45, "cpu_slowest_over_fastest": pytest.approx(0.96)}
    assert dict(flatness([one(1000, 900.0, 500.0), one(10_000, 0.0, 480.0)])) == {
        "cpu_slowest_over_fastest": pytest.approx(0.96)
    }


async def at_once(_number: int, texts: list[str]) -> bytes:
    return answered(embeddings(texts))


async def test_every_text_of_every_size_is_sent_once_and_no_request_is_larger_than_allowed() -> None:
    plan = dataclasses.replace(PLAN, scaling_texts=(100, TEXTS_A_REQUEST + 5))
    async with scripted(at_once) as (script, target):
        server, account = HttpContender(target), Account(None, None, "m")
        found = await asyncio.to_thread(scaling, server, account, plan, 0)
    rounds = (TEXTS_A_REQUEST + 5) // 100
    sizes = [len(request["input"]) for request in script.requests]  # type: ignore[arg-type]
    assert sizes.count(100) == rounds
    assert sorted(sizes)[-1] == TEXTS_A_REQUEST
    assert sum(sizes) == 100 * rounds + TEXTS_A_REQUEST + 5
    assert [one.workload for one in found] == ["scaling-100", f"scaling-{TEXTS_A_REQUEST + 5}", "scaling"]
    assert 0 < found[-1].figures["slowest_over_fastest"] <= 1


async def test_a_soak_keeps_eight_requests_going_and_is_done_once() -> None:
    plan = dataclasses.replace(PLAN, soak_texts=3, soak_seconds=0.3)
    together = asyncio.Barrier(CLIENTS)

    async def reply(number: int, texts: list[str]) -> bytes:
        if number < CLIENTS:
            # Answered only once all eight are there.
            await together.wait()
        return await at_once(number, texts)

    async with scripted(reply) as (script, target):
        server = HttpContender(dataclasses.replace(target, pid=os.getpid()))
        account = Account(None, None, "m")
        [found] = await asyncio.to_thread(soak, server, account, plan, 0)
        sent = len(script.requests)
        assert await asyncio.to_thread(soak, server, account, plan, 1) == ()
    assert script.most_open == CLIENTS
    assert sent == len(script.requests)
    assert found.figures["errors"] == 0
    assert found.figures["memory_peak_mb"] >= found.figures["memory_idle_mb"] * 0.5 > 0


def test_soaking_texts_are_as_many_words_as_one_request_may_hold() -> None:
    texts = texts_of_words(4, words=WORDS_A_TEXT, seed=0)
    assert {len(text.split()) for text in texts} == {WORDS_A_TEXT}
    assert 290_000 < 2048 * (WORDS_A_TEXT + 2) <= 300_000


@given(st.integers(1, 300), st.integers(0, 99), st.integers(100, 199))
def test_bulk_requests_of_all_seeds_have_the_same_lengths(count: int, one: int, other: int) -> None:
    first, second = alike_lengths(count, seed=one), alike_lengths(count, seed=other)
    assert sorted(len(text.split()) for text in first) == sorted(len(text.split()) for text in second)
    assert all(3 <= len(text.split()) <= 220 for text in first)


def test_bulk_requests_are_of_the_lengths_that_are_described() -> None:
    lengths = sorted(len(text.split()) for text in alike_lengths(256, seed=1))
    assert 39 <= lengths[128] <= 41
    assert lengths[-1] > 150
    assert alike_lengths(256, seed=1) != alike_lengths(256, seed=2)


def test_vectors_to_be_encoded_are_of_length_one_and_large() -> None:
    vectors = unit_vectors(3, 8)
    assert (vectors**2).sum(axis=1) == pytest.approx(1.0, abs=1e-6)
    assert (ROWS, DIMENSIONS) == (2048, 1024)
