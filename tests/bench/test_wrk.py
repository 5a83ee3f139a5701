"""wrk's part: what its script prints, and what becomes of a wrk that fails. A program in its place speaks for it."""

from __future__ import annotations

import asyncio
import shutil
import stat
from collections import Counter
from pathlib import Path

import pytest

from gateway.bench import wrk
from gateway.bench.target import Target
from gateway.bench.wrk import WrkLoad, read_line, run_wrk
from tests.bench.servers import answered, embeddings, scripted
from tests.conftest import need

TARGET = Target("gateway", "127.0.0.1", 1, "/v1/embeddings", "m", key="secret")


def program(folder: Path, script: str) -> str:
    path = folder / "wrk"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


def test_the_line_of_the_script_is_read() -> None:
    load = read_line("Running 1s test\nBENCH 200 2000000 10 1500.0 2500.0 9000.5\n", client_cpu_seconds=0.25)
    assert load == WrkLoad(200, 2.0, 10, (1.5, 2.5, 9.0005), 0.25)
    assert load.figures() == {
        "texts_per_second": 95.0,
        "errors": 10.0,
        "answers": 190.0,
        "client_cpu_seconds": 0.25,
        "latency_p50_ms": 1.5,
        "latency_p90_ms": 2.5,
        "latency_p99_ms": 9.0005,
    }


def test_of_nothing_answered_there_is_no_latency() -> None:
    figures = read_line("BENCH 0 1000000 3 0.0 0.0 0.0", client_cpu_seconds=0).figures()
    assert figures["texts_per_second"] == 0
    assert not [name for name in figures if name.startswith("latency")]


def test_it_is_given_bodies_clients_whole_seconds_and_the_key_out_of_sight(tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    keep = (
        f'echo "$@" > {seen}; cat "$9" >> {seen}; echo "key $BENCH_KEY" >> {seen}; echo BENCH 5 1000000 0 1.0 1.0 1.0'
    )
    load = run_wrk(program(tmp_path, keep), TARGET, ["one", "two"], clients=64, seconds=0.2)
    arguments, *bodies, key = seen.read_text().splitlines()
    assert load.requests == 5
    assert "-t1 -c64 -d1s" in arguments
    assert "http://127.0.0.1:1/v1/embeddings" in arguments
    assert "secret" not in arguments
    assert [body.encode() for body in bodies] == [TARGET.body("one"), TARGET.body("two")]
    assert key == "key secret"


@pytest.mark.parametrize(("script", "said"), [("echo broken >&2; exit 1", "broken"), ("echo nothing", "no figures")])
def test_a_wrk_that_fails_is_told_of(tmp_path: Path, script: str, said: str) -> None:
    with pytest.raises(RuntimeError, match=said):
        run_wrk(program(tmp_path, script), TARGET, ["one"], clients=1, seconds=1)


def test_a_wrk_that_hangs_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wrk, "TIMEOUT_SECONDS", 0)
    with pytest.raises(RuntimeError, match="in time"):
        run_wrk(program(tmp_path, "exec sleep 60"), TARGET, ["one"], clients=1, seconds=0.1)


async def test_the_real_one_sends_every_text_in_turn_and_counts_what_is_refused() -> None:
    program_found = wrk.installed()
    need(None if program_found else wrk.HOW_TO_GET)
    texts = [f"text {number}" for number in range(50)]

    async def reply(number: int, given: list[str]) -> bytes:
        return answered(embeddings(given), status=503 if number % 10 == 9 else 200)

    async with scripted(reply) as (script, target):
        load = await asyncio.to_thread(run_wrk, str(program_found), target, texts, clients=4, seconds=1)
    sent = [request["input"] for request in script.requests]
    assert load.requests > 100
    assert set(sent) == set(texts)
    counts = Counter(map(str, sent))
    # Of what was under way at the end the script may have seen more than wrk counted.
    assert max(counts.values()) - min(counts.values()) <= 1
    assert abs(load.errors - load.requests // 10) <= 4
    assert load.latencies_ms[0] > 0
    assert load.client_cpu_seconds > 0


def test_it_is_said_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _name: None)
    assert wrk.installed() is None
    assert "apt install wrk" in wrk.HOW_TO_GET
