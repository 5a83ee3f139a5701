"""What is added is taken from pairs; a blocking socket reads what servers really send."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.bench.added_latency import LEAST_PAIRS, Pairs
from gateway.bench.blocking import BlockingConnection
from gateway.bench.target import Target
from tests.bench.servers import answered, embeddings, scripted


@given(st.floats(0.0001, 0.01), st.lists(st.floats(0.001, 0.1), min_size=LEAST_PAIRS, max_size=LEAST_PAIRS + 20))
def test_noise_that_hits_both_of_a_pair_is_no_added_latency(added: float, direct: list[float]) -> None:
    figures = Pairs(direct, [one + added for one in direct]).figures()
    for name in ("added_p50_ms", "added_p99_ms", "paired_p99_ms"):
        assert figures[name] == pytest.approx(1e3 * added, rel=1e-6, abs=1e-9)


def test_a_gateway_that_stalls_now_and_then_shows_in_both_99th_percentiles_and_not_in_the_median() -> None:
    direct = [0.002] * 200
    figures = Pairs(direct, [0.0025] * 190 + [0.05] * 10).figures()
    assert figures["added_p50_ms"] == pytest.approx(0.5)
    assert figures["added_p99_ms"] == figures["paired_p99_ms"] == pytest.approx(48.0)


def test_a_direct_call_that_stalls_is_no_excuse_in_the_pairs() -> None:
    """Slow at different moments: the percentiles cancel out, the pairs do not."""
    slow, quick = [0.05] * 10 + [0.002] * 190, [0.002] * 190 + [0.05] * 10
    figures = Pairs(slow, quick).figures()
    assert figures["added_p99_ms"] == pytest.approx(0.0)
    assert figures["paired_p99_ms"] == pytest.approx(48.0)


def test_few_pairs_have_a_median_and_no_99th_percentile() -> None:
    figures = Pairs([0.002] * 5, [0.003] * 5).figures()
    assert figures["added_p50_ms"] == pytest.approx(1.0)
    assert "added_p99_ms" not in figures


async def asked(target: Target, times: int) -> list[tuple[int, bytes]]:
    def ask() -> list[tuple[int, bytes]]:
        connection = BlockingConnection(target.host, target.port, timeout_seconds=10)
        try:
            return [connection.answer(target.request("a text")) for _ in range(times)]
        finally:
            connection.close()

    return await asyncio.to_thread(ask)


async def test_answers_of_any_size_are_read_whole_one_after_the_other() -> None:
    bodies = [embeddings(["a"]), b"x" * 300_000, b"", b"the last"]

    async def reply(number: int, _texts: list[str]) -> bytes:
        return answered(bodies[number], status=200 + number)

    async with scripted(reply) as (script, target):
        found = await asked(target, len(bodies))
    assert found == [(200 + number, body) for number, body in enumerate(bodies)]
    assert script.most_open == 1


@pytest.mark.parametrize(
    ("bad", "kind"),
    [
        (b"", ConnectionError),
        (b"HTTP/1.1 200 OK\r\n\r\n", ValueError),
        (b"SPAM hello\r\ncontent-length: 0\r\n\r\n", ValueError),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\nConnection: close\r\n\r\nshort", ConnectionError),
    ],
    ids=["hung up", "no length", "no HTTP", "cut short"],
)
async def test_what_is_no_answer_is_told(bad: bytes, kind: type[Exception]) -> None:
    async def reply(_number: int, _texts: list[str]) -> bytes:
        return bad

    async with scripted(reply) as (_, target):
        with pytest.raises(kind):
            await asked(target, 1)
