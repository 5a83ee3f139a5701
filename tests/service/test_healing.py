from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from gateway.errors import DeadlineExceeded
from gateway.service import healing
from gateway.service.healing import Healer
from tests.support.scripted_engine import ScriptedEngine


async def test_two_models_are_healed_one_after_the_other() -> None:
    class Slow(ScriptedEngine):
        under_way = 0
        most = 0

        async def load(self, model: str, *, timeout_seconds: float = 60.0) -> None:
            self.under_way += 1
            self.most = max(self.most, self.under_way)
            await asyncio.sleep(0.01)
            self.under_way -= 1
            await super().load(model)

    engine = Slow()
    healer = Healer(engine)
    assert await asyncio.gather(*(healer.restart(name) for name in "abc")) == [None] * 3
    assert engine.most == 1


async def test_a_model_that_keeps_dying_is_restarted_ever_more_slowly(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(healing, "time", SimpleNamespace(monotonic=lambda: now))
    healer = Healer(ScriptedEngine())
    pauses = []
    for _ in range(10):
        began = now
        while not healer.due("tiny"):
            now += 0.5
        pauses.append(now - began)
        await healer.restart("tiny")
    assert pauses == [0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0]
    assert healer.due("another")
    now += 1000
    await healer.restart("tiny")
    now += 0.5
    assert healer.due("tiny"), "a model that was well for long starts afresh"


async def test_a_model_that_will_not_unload_is_loaded_all_the_same() -> None:
    class Stuck(ScriptedEngine):
        async def unload(self, model: str, *, timeout_seconds: float = 60.0) -> None:
            raise DeadlineExceeded("Triton did not unload tiny in time.")

    engine = Stuck()
    assert await Healer(engine).restart("tiny") is None
    assert engine.states == {"tiny": "READY"}


async def test_failures_come_back_as_sentences() -> None:
    assert "refuses" in (await Healer(ScriptedEngine(control_refused=True)).restart("tiny") or "")
    assert "cannot be reached" in (await Healer(ScriptedEngine(down=True)).load("tiny") or "")


async def test_large_models_are_waited_for_as_long_as_gigabytes_take() -> None:
    waited: dict[str, float] = {}

    class Noting(ScriptedEngine):
        async def load(self, model: str, *, timeout_seconds: float = 60.0) -> None:
            waited[model] = timeout_seconds

    healer = Healer(Noting(), large=["large"])
    for name in ("large", "small"):
        await healer.restart(name)
    assert waited == {"large": healing.LARGE_LOAD_TIMEOUT_SECONDS, "small": healing.LOAD_TIMEOUT_SECONDS}
    await healer.load("large")
    assert waited["large"] > 10 * 60
