"""What the watch over one model promises: the dead and the hung are replaced, the slow and the late are left alone."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest

from gateway.errors import DeadlineExceeded, EngineUnavailable
from gateway.triton.engine import InferCall, Tensor
from tests.support.running_service import request, running, until
from tests.support.scripted_engine import ScriptedEngine, vector_of
from tests.support.tiny_models import CANARY_IDS


@pytest.fixture
def engine() -> ScriptedEngine:
    return ScriptedEngine(states={"tiny": "READY"})


def many_texts(count: int) -> list[str]:
    """No two alike, of which only one would be computed."""
    words = ("the", "cat", "mat", "the cat")
    return [" ".join(words[number >> shift & 3] for shift in range(0, 10, 2)) for number in range(count)]


async def test_a_dead_backend_process_is_unloaded_and_loaded(tmp_path: Path, engine: ScriptedEngine) -> None:
    async with running(tmp_path, engine) as service:
        await until(lambda: service.readiness.report().ready)
        engine.dead.add("tiny")
        result = await service.embedding.embed(request("the cat", "cat"))
        np.testing.assert_allclose(result.vectors[0], vector_of(CANARY_IDS), rtol=0, atol=1e-6)
        await until(lambda: service.readiness.report().ready)
    assert engine.control == [("unload", "tiny"), ("load", "tiny")]


async def test_calls_that_wait_for_a_dead_process_are_given_up(tmp_path: Path, engine: ScriptedEngine) -> None:
    async with running(tmp_path, engine) as service:
        await until(lambda: service.readiness.report().ready)
        engine.hang = True
        calls = len(engine.calls)
        hanging = asyncio.create_task(service.embedding.embed(request("cat")))
        await until(lambda: any(call.inputs["input_ids"].shape == (1, 3) for call in engine.calls[calls:]))
        engine.hang = False
        engine.dead.add("tiny")
        await service.embedding.embed(request("mat"))
        async with asyncio.timeout(5):
            await hanging


async def test_a_death_that_leaves_its_calls_unanswered_is_found_by_asking_once_more(
    tmp_path: Path, engine: ScriptedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.service.canary.SILENCE_SECONDS", 0.02)
    async with running(tmp_path, engine) as service:
        await until(lambda: service.readiness.report().ready)
        engine.hang = True
        calls = len(engine.calls)
        hanging = asyncio.create_task(service.embedding.embed(request("the cat")))
        await until(lambda: any(len(call.inputs["input_ids"][0]) == len(CANARY_IDS) for call in engine.calls[calls:]))
        engine.hang = False
        engine.delay_seconds = 0.1  # as Triton takes a second to tell
        engine.dead.add("tiny")
        async with asyncio.timeout(5):
            await hanging
        assert engine.control == [("unload", "tiny"), ("load", "tiny")]
        await until(lambda: service.readiness.report().ready)


async def test_a_process_that_stands_still_under_load_is_replaced_where_silence_tells(
    tmp_path: Path, engine: ScriptedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.service.canary.SILENCE_SECONDS", 0.01)
    monkeypatch.setattr("gateway.service.watching.HUNG_SECONDS", 0.05)
    monkeypatch.setattr("gateway.service.watching.LOST_SECONDS", 0.5)
    async with running(tmp_path, engine, calls_side_by_side=1) as service:
        await until(lambda: service.readiness.report().ready)
        engine.hang = True
        hanging = asyncio.create_task(service.embedding.embed(request("cat")))
        scheduler = service.models.all()["tiny"].scheduler
        await until(lambda: scheduler.outage is not None)
        assert "does not answer" in service.readiness.report().models["tiny"].reason
        with pytest.raises(EngineUnavailable):
            await service.embedding.embed(request("mat"))
        assert engine.control == []
        await until(lambda: bool(engine.control))
        engine.hang = False
        async with asyncio.timeout(5):
            await hanging


async def test_a_process_that_goes_on_in_time_is_not_replaced_and_serves_at_once(
    tmp_path: Path, engine: ScriptedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.service.canary.SILENCE_SECONDS", 0.01)
    monkeypatch.setattr("gateway.service.watching.HUNG_SECONDS", 0.05)
    async with running(tmp_path, engine, calls_side_by_side=1) as service:
        await until(lambda: service.readiness.report().ready)
        engine.hang = True
        hanging = asyncio.create_task(service.embedding.embed(request("cat")))
        scheduler = service.models.all()["tiny"].scheduler
        await until(lambda: scheduler.outage is not None)
        engine.hang = False
        await hanging
        await until(lambda: service.readiness.report().ready)
        assert engine.control == []


async def test_a_death_nobody_ran_into_is_found_by_the_canary(tmp_path: Path, engine: ScriptedEngine) -> None:
    async with running(tmp_path, engine) as service:
        await until(lambda: service.readiness.report().ready)
        engine.dead.add("tiny")
        await until(lambda: bool(engine.control))
        await until(lambda: service.readiness.report().ready)


async def test_refused_model_control_is_reported(tmp_path: Path, engine: ScriptedEngine) -> None:
    async with running(tmp_path, engine) as service:
        await until(lambda: service.readiness.report().ready)
        engine.control_refused = True
        engine.dead.add("tiny")
        await until(lambda: "refuses model control" in service.readiness.report().models["tiny"].reason)
        engine.dead.clear()
        engine.control_refused = False
        await until(lambda: service.readiness.report().ready)


async def test_a_canary_behind_a_long_queue_does_not_flap(
    tmp_path: Path, engine: ScriptedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.service.canary.SILENCE_SECONDS", 0.03)
    async with running(tmp_path, engine, calls_in_flight=1) as service:
        await until(lambda: service.readiness.report().ready)
        scheduler = service.models.all()["tiny"].scheduler
        busy = asyncio.create_task(service.embedding.embed(request(*many_texts(1000))))
        await until(lambda: not scheduler.idle)
        engine.delay_seconds = 0.1
        while not busy.done():
            assert service.readiness.report().ready
            await asyncio.sleep(0.002)
        await busy


async def test_a_canary_that_came_too_late_behind_a_very_long_call_is_no_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Punctual(ScriptedEngine):
        """Ends a call that takes too long, as gRPC does."""

        late = 0

        async def infer(self, call: InferCall, *, timeout_seconds: float) -> dict[str, Tensor]:
            try:
                async with asyncio.timeout(timeout_seconds):
                    return await super().infer(call, timeout_seconds=timeout_seconds)
            except TimeoutError:
                self.late += 1
                raise DeadlineExceeded("The model took longer than it may.") from None

    for module in ("canary", "watching"):
        monkeypatch.setattr(f"gateway.service.{module}.CALL_TIMEOUT_SECONDS", 0.05)
    engine = Punctual(states={"tiny": "READY"})
    async with running(tmp_path, engine) as service:
        await until(lambda: service.readiness.report().ready)
        engine.hang = True
        long = asyncio.create_task(service.embedding.embed(request("cat")))
        await until(lambda: not service.models.all()["tiny"].scheduler.idle)
        late = engine.late
        await until(lambda: engine.late > late + 2)
        assert service.readiness.report().ready
        long.cancel()
        await asyncio.gather(long, return_exceptions=True)
        service.models.all()["tiny"].scheduler.suspend(EngineUnavailable("gives up the call"))
        await until(lambda: service.readiness.report().models["tiny"].state == "faulty")


async def test_silence_of_an_idle_model_is_told(
    tmp_path: Path, engine: ScriptedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.service.canary.SILENCE_SECONDS", 0.01)
    async with running(tmp_path, engine) as service:
        await until(lambda: service.readiness.report().ready)
        engine.hang = True
        await until(lambda: not service.readiness.report().ready)
        assert "does not answer" in service.readiness.report().models["tiny"].reason


async def test_a_model_that_takes_long_to_start_is_starting_and_nothing_worse(
    tmp_path: Path, engine: ScriptedEngine, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("gateway.service.canary.SILENCE_SECONDS", 0.01)
    caplog.set_level("DEBUG", logger="gateway.service.watching")
    engine.hold_from_tokens = 1
    async with running(tmp_path, engine) as service:
        await until(lambda: "not answered yet" in service.readiness.report().models["tiny"].reason)
        assert service.readiness.report().models["tiny"].state == "starting"
        engine.release.set()
        await until(lambda: service.readiness.report().ready)
    # Gateways that other tests left running in this process tell of their models too.
    changes = [one for one in caplog.records if one.msg == "model health changed" and one.__dict__["model"] == "tiny"]
    told = [(one.levelname, one.__dict__["state"]) for one in changes]
    assert told == [("DEBUG", "starting"), ("INFO", "ready")]


async def test_a_server_that_went_deaf_is_given_up(
    tmp_path: Path, engine: ScriptedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.service.canary.SILENCE_SECONDS", 0.01)

    async def deaf(*, timeout_seconds: float = 1.0) -> bool:
        return False

    async with running(tmp_path, engine) as service:
        await until(lambda: service.readiness.report().ready)
        engine.hang = True
        monkeypatch.setattr(engine, "is_live", deaf)
        caught = asyncio.create_task(service.embedding.embed(request("cat")))
        scheduler = service.models.all()["tiny"].scheduler
        await until(lambda: scheduler.outage is not None)
        engine.hang = False
        await caught


@pytest.mark.parametrize("turns", range(5))
async def test_a_watch_ends_when_it_is_stopped_in_the_moment_in_which_it_is_told_to_look(
    tmp_path: Path, engine: ScriptedEngine, turns: int
) -> None:
    async with running(tmp_path, engine, canary_interval_seconds=60.0) as service:
        await until(lambda: service.readiness.report().ready)
        watch, task = service.readiness._watches["tiny"]
        watch.outage(EngineUnavailable("gone"))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        async with asyncio.timeout(2):
            assert isinstance((await asyncio.gather(task, return_exceptions=True))[0], asyncio.CancelledError)
