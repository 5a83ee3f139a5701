"""What a model's scheduler may do at once, by where its calls are computed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from gateway.batching.limits import SchedulerLimits
from gateway.cards.schema import BatchSpec, Card
from gateway.service.scheduling import instances_of, limits_of
from gateway.triton.engine import Instances
from gateway.types import FAST_BLOCK_TOKENS
from tests.support.scripted_engine import ScriptedEngine
from tests.support.tiny_models import tiny_card
from tests.support.unpadded_engine import unpadded_card


def limits(
    card: Card,
    instances: Instances,
    *,
    calls_in_flight: int | None = None,
    short_calls_by_http: bool = False,
    is_fast: bool = False,
) -> SchedulerLimits:
    return limits_of(
        card,
        instances,
        calls_in_flight=calls_in_flight,
        max_queued_tokens=1000,
        recovery_wait_seconds=1.0,
        one_row_a_call=False,
        urgent_beside_others=True,
        short_calls_by_http=short_calls_by_http,
        is_fast=is_fast,
    )


def test_as_many_calls_as_are_computed_at_once_and_one_that_is_ready(tmp_path: Path) -> None:
    card = tiny_card(tmp_path)
    assert [limits(card, Instances(count)).calls_in_flight for count in (1, 2, 64)] == [2, 3, 65]
    assert limits(card, Instances(64), calls_in_flight=3).calls_in_flight == 3


def test_a_gpu_is_given_larger_calls_of_a_graph(tmp_path: Path) -> None:
    batching = BatchSpec(max_batch_tokens=400, max_batch_tokens_on_gpu=9000)
    graph, code = replace(tiny_card(tmp_path), batching=batching), replace(unpadded_card(tmp_path), batching=batching)
    assert limits(graph, Instances(1)).max_batch_tokens == 400
    assert limits(graph, Instances(1, on_gpu=True)).max_batch_tokens == 9000
    assert limits(code, Instances(1, on_gpu=True)).max_batch_tokens == 400


def test_an_interactive_request_fits_into_one_call(tmp_path: Path) -> None:
    small = replace(tiny_card(tmp_path), batching=BatchSpec(max_batch_tokens=100))
    assert limits(small, Instances(1)).interactive_tokens == 100
    assert limits(tiny_card(tmp_path), Instances(1, on_gpu=True)).interactive_tokens == 512


def test_only_graphs_are_computed_beside_others(tmp_path: Path) -> None:
    assert limits(tiny_card(tmp_path), Instances(1)).urgent_beside_others
    assert not limits(unpadded_card(tmp_path), Instances(1)).urgent_beside_others


async def test_the_embedded_triton_computes_graphs_side_by_side_and_another_is_asked(tmp_path: Path) -> None:
    class Several(ScriptedEngine):
        async def instances(self, model: str, *, timeout_seconds: float = 5.0) -> Instances:
            assert model == "tiny"
            return Instances(4, on_gpu=True)

    engine = Several()
    graph, code = tiny_card(tmp_path), unpadded_card(tmp_path)
    assert await instances_of(graph, engine, calls_side_by_side=8) == Instances(8)
    assert await instances_of(code, engine, calls_side_by_side=8) == Instances(1)
    assert await instances_of(graph, engine, calls_side_by_side=None) == Instances(4, on_gpu=True)


@pytest.mark.parametrize(("calls", "under_pressure"), [(1, 1), (2, 1), (5, 4)])
def test_under_pressure_no_bulk_call_only_waits_its_turn_and_calls_are_smaller(calls: int, under_pressure: int) -> None:
    given = SchedulerLimits(max_batch_tokens=512, max_queued_tokens=1, calls_in_flight=calls, recovery_wait_seconds=1.0)
    assert given.bulk_calls(under_pressure=False) == calls
    assert given.bulk_calls(under_pressure=True) == under_pressure
    assert given.bulk_tokens(waiting_tokens=10_000, under_pressure=False) == 512
    assert given.bulk_tokens(waiting_tokens=10_000, under_pressure=True) == 128


@pytest.mark.parametrize(
    ("calls", "waiting_tokens", "tokens"),
    [(3, 1024, 512), (3, 1023, 512), (3, 601, 301), (3, 20, 128), (5, 1024, 256), (2, 400, 400), (1, 400, 400)],
)
def test_the_end_of_a_bulk_is_shared_by_those_who_compute_side_by_side(
    calls: int, waiting_tokens: int, tokens: int
) -> None:
    """One call of those in flight is only ready."""
    given = SchedulerLimits(max_batch_tokens=512, max_queued_tokens=1, calls_in_flight=calls, recovery_wait_seconds=1.0)
    assert given.bulk_tokens(waiting_tokens=waiting_tokens, under_pressure=False) == tokens


def test_what_goes_by_http_cannot_be_stopped(tmp_path: Path) -> None:
    graph, code = tiny_card(tmp_path), unpadded_card(tmp_path)
    found = {
        by_http: [limits(card, Instances(1), short_calls_by_http=by_http).stops_short_calls for card in (graph, code)]
        for by_http in (False, True)
    }
    assert found == {False: [True, True], True: [False, True]}


def test_a_fast_model_s_rows_are_cut_by_the_blocks_that_its_backend_computes(tmp_path: Path) -> None:
    card = tiny_card(tmp_path)
    assert [limits(card, Instances(1), is_fast=fast).block_tokens for fast in (False, True)] == [1, FAST_BLOCK_TOKENS]
