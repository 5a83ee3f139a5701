"""A worker takes jobs once every model has proved itself, is patient with loading, and gives up what is hopeless."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest

from gateway.errors import SetupError
from gateway.runpod import readiness
from gateway.runpod.readiness import until_ready
from tests.support.instant_services import ModelState, Report

STARTING = Report(ready=False, models={"m": ModelState("starting", "Loading.")})
WRONG = Report(ready=False, models={"m": ModelState("wrong_vectors", "Its vector differs.")})
AWAY = Report(ready=False, reason="Triton does not answer.", models={})


@dataclass
class Health:
    """Gives each report for some polls, the last one for ever."""

    reports: list[tuple[int, Report]]
    polls: int = 0
    told: list[str] = field(default_factory=list)

    def report(self) -> Report:
        self.polls += 1
        left = self.polls
        for count, report in self.reports:
            left -= count
            if left <= 0:
                return report
        return self.reports[-1][1]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[], float]:
    """Time that passes only by sleeping."""
    now = 100.0

    async def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds

    # In that module alone: gateways of other tests run in threads of this process and sleep, too.
    monkeypatch.setattr(readiness, "asyncio", SimpleNamespace(sleep=sleep))
    monkeypatch.setattr(readiness, "time", SimpleNamespace(monotonic=lambda: now))
    return lambda: now


async def test_loading_may_take_minutes_and_is_told_of_now_and_then(clock: Callable[[], float]) -> None:
    health = Health([(2000, AWAY), (1000, STARTING), (1, Report())])
    await until_ready(health, tell=health.told.append)
    assert clock() == pytest.approx(400, abs=1)
    assert 25 <= len(health.told) <= 31
    assert health.told[0].endswith("Triton does not answer.")
    assert health.told[-1].endswith("m: Loading.")


async def test_a_model_with_wrong_vectors_ends_the_worker_soon(clock: Callable[[], float]) -> None:
    with pytest.raises(SetupError, match="Its vector differs") as refused:
        await until_ready(Health([(5, STARTING), (1, WRONG)]), tell=lambda _: None)
    assert refused.value.remedy is not None
    assert clock() < 120


async def test_a_model_that_comes_right_again_is_waited_for(clock: Callable[[], float]) -> None:
    health = Health([(100, WRONG), (100, STARTING), (100, WRONG), (1, Report())])
    await until_ready(health, tell=lambda _: None)
    assert health.polls == 301


async def test_patience_ends(clock: Callable[[], float]) -> None:
    with pytest.raises(SetupError, match="no job is taken"):
        await until_ready(Health([(1, STARTING)]), tell=lambda _: None, patience_seconds=50)
    assert clock() == pytest.approx(150, abs=1)
