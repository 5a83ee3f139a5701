"""The whole stack in processes of its own, killed and hung up on: every answer is a right vector or a 503."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from benchmarks.ceiling import Ceiling
from benchmarks.recovery import hang_up_under_load, kill_under_load
from benchmarks.stack import BACKEND_PROCESS, MODEL, ROOT, SERVER, Server, running_stack
from benchmarks.workloads import short_queries
from gateway.types import Float32Array
from tests.conftest import missing_bundled_model, need

TEXTS = short_queries(128, seed=3)

pytestmark = [pytest.mark.triton, pytest.mark.usefixtures("tritonserver")]


@pytest.fixture(scope="module")
def expected() -> Float32Array:
    need(missing_bundled_model())
    return Ceiling(ROOT / "model_repository" / MODEL / "1").embed(TEXTS)


@pytest.fixture(scope="module")
def stack(expected: Float32Array) -> Iterator[Server]:
    with running_stack() as server:
        yield server


@pytest.mark.parametrize("process", [SERVER, BACKEND_PROCESS])
async def test_a_killed_process_costs_nobody_a_wrong_answer_and_comes_back(
    stack: Server, expected: Float32Array, process: str
) -> None:
    recovery = await kill_under_load(stack, process, expected, TEXTS)
    assert set(recovery.statuses) <= {200, 503}
    assert recovery.statuses[200] > 0
    assert recovery.wrong == 0
    assert recovery.first_answer < float("inf")


async def test_clients_that_hang_up_harm_nobody_and_leave_no_rows_behind(stack: Server, expected: Float32Array) -> None:
    bystanders, rows_left = await hang_up_under_load(stack, expected, TEXTS)
    assert set(bystanders.statuses) == {200}
    assert bystanders.wrong == bystanders.broken == 0
    assert rows_left == 0
