"""What the monitor promises: readiness is proved, the dead are healed, the index is followed."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest

from gateway.cards.registry import Registry
from gateway.errors import DeadlineExceeded, EngineUnavailable, UnknownModel
from gateway.service.readiness import _why_absent
from gateway.triton.engine import InferCall, ModelStatus, Tensor
from tests.support.running_service import request, running, until
from tests.support.scripted_engine import ScriptedEngine, vector_of
from tests.support.tiny_models import CANARY_IDS
from tests.support.twin_repository import SHIPPED


@pytest.fixture
def engine() -> ScriptedEngine:
    return ScriptedEngine(states={"tiny": "READY"})


def many_texts(count: int) -> list[str]:
    """No two alike, of which only one would be computed."""
    words = ("the", "cat", "mat", "the cat")
    return [" ".join(words[number >> shift & 3] for shift in range(0, 10, 2)) for number in range(count)]


@pytest.fixture(autouse=True)
def short_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """No real Triton here that needs two seconds to load what it forgot."""
    monkeypatch.setattr("gateway.service.readiness._FORGOTTEN_SECONDS", 0.2)


async def test_ready_once_the_canary_gave_its_vector(tmp_path: Path, engine: ScriptedEngine) -> None:
    async with running(tmp_path, engine) as service:
        await until(lambda: service.readiness.report().ready)
        report = service.readiness.report()
    assert {name: (one.state, one.reason) for name, one in report.models.items()} == {"tiny": ("ready", "")}
    assert engine.calls[0].inputs["input_ids"].tolist() == [list(CANARY_IDS)]


def test_why_a_model_is_not_loaded_names_all_that_it_needs() -> None:
    cards = {card.name: card for card in Registry.from_repository(SHIPPED).cards}
    for name, torch in (("jina-embeddings-v3", False), ("jina-embeddings-v4", True)):
        reason = _why_absent(None, cards[name])
        assert f"gateway models pull {name}" in reason
        assert ("scripts/install_torch.sh" in reason) is torch


@pytest.mark.parametrize("poison", ["nan", "wrong"])
async def test_a_poisoned_model_is_unready_until_it_is_right_again(
    tmp_path: Path, engine: ScriptedEngine, poison: str
) -> None:
    async with running(tmp_path, engine) as service:
        await until(lambda: service.readiness.report().ready)
        setattr(engine, poison, True)
        await until(lambda: not service.readiness.report().ready)
        assert service.readiness.report().models["tiny"].reason
        setattr(engine, poison, False)
        await until(lambda: service.readiness.report().ready)
        await service.embedding.embed(request("cat"))


async def test_wrong_vectors_are_not_handed_out(tmp_path: Path, engine: ScriptedEngine) -> None:
    async with running(tmp_path, engine) as service:
        await until(lambda: service.readiness.report().ready)
        engine.wrong = True
        await until(lambda: service.readiness.report().models["tiny"].state == "wrong_vectors")
        with pytest.raises(EngineUnavailable):
            await service.embedding.embed(request("cat"))


async def test_a_lost_engine_sheds_at_once_and_serves_again_when_it_is_back(
    tmp_path: Path, engine: ScriptedEngine
) -> None:
    async with running(tmp_path, engine) as service:
        await until(lambda: service.readiness.report().ready)
        engine.down = True
        caught = asyncio.create_task(service.embedding.embed(request("cat")))
        await until(lambda: not service.readiness.report().ready)
        async with asyncio.timeout(1):
            with pytest.raises(EngineUnavailable):
                await service.embedding.embed(request("mat"))
        engine.down = False
        assert (await caught).usage.prompt_tokens == 3
        await until(lambda: service.readiness.report().ready)


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
    told = [(one.levelname, one.__dict__["state"]) for one in caplog.records if one.msg == "model health changed"]
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


async def test_models_come_and_go_without_a_restart(tmp_path: Path, engine: ScriptedEngine) -> None:
    async with running(tmp_path, engine, "tiny", "late") as service:
        await until(lambda: service.readiness.report().ready)
        assert service.readiness.report().models["late"].state == "not_loaded"
        engine.states["late"] = "READY"
        await until(lambda: service.readiness.report().models["late"].ready)
        await service.embedding.embed(request("cat", model="late"))
        engine.states["late"] = "UNAVAILABLE"
        await until(lambda: len(service.models.list()) == 1)
        with pytest.raises(UnknownModel):
            await service.embedding.embed(request("cat", model="late"))
        assert service.readiness.report().ready


async def test_a_model_forgotten_in_a_restart_is_loaded_again(tmp_path: Path, engine: ScriptedEngine) -> None:
    async with running(tmp_path, engine) as service:
        await until(lambda: service.readiness.report().ready)
        engine.down = True
        await until(lambda: not service.readiness.report().ready)
        # Long enough for the index to be read in vain at least once.
        await asyncio.sleep(0.3)
        engine.restart_without_models()
        engine.down = False
        await until(lambda: service.readiness.report().ready)
        await service.embedding.embed(request("cat"))
    assert engine.control == [("load", "tiny")]


async def test_only_the_models_asked_for_are_served_and_all_of_them_are_needed(
    tmp_path: Path, engine: ScriptedEngine
) -> None:
    engine.states["other"] = "READY"
    async with running(tmp_path, engine, "tiny", "other", "absent", models=("TINY", "absent")) as service:
        await until(lambda: service.readiness.report().models["tiny"].ready)
        assert [listing.model.name for listing in service.models.list()] == ["tiny"]
        assert not service.readiness.report().ready
        engine.states["absent"] = "READY"
        await until(lambda: service.readiness.report().ready)


async def test_a_damaged_tokenizer_is_told_once_and_mended_without_a_restart(
    tmp_path: Path, engine: ScriptedEngine, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(tmp_path, engine, tokenizer_path=tmp_path / "given.json") as service:
        assert "given.json" in service.readiness.report().models["tiny"].reason
        looks = engine.index_reads
        await until(lambda: engine.index_reads > looks + 1)
        assert [record.message for record in caplog.records].count("a model cannot be served") == 1
        (tmp_path / "given.json").write_text((tmp_path / "tiny" / "tokenizer.json").read_text())
        await until(lambda: service.readiness.report().ready)


async def test_an_engine_that_was_never_there_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    engine = ScriptedEngine(states={"tiny": "READY"}, down=True)
    async with running(tmp_path, engine, triton_url="127.0.0.1:9") as service:
        report = service.readiness.report()
        assert not report.ready
        assert "cannot be reached" in report.reason
        looks = engine.index_reads
        await until(lambda: engine.index_reads > looks + 1)
        [told] = [record for record in caplog.records if record.message == "Triton does not answer"]
        assert vars(told)["triton"] == "127.0.0.1:9"
        engine.down = False
        await until(lambda: service.readiness.report().ready)


async def test_the_mistake_behind_the_silence_is_told_for_as_long_as_it_lasts(tmp_path: Path) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        writer.close()

    engine = ScriptedEngine(states={"tiny": "READY"}, down=True)
    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    async with server, running(tmp_path, engine, triton_url=f"{host}:{port}") as service:
        looks = 0
        models = engine.models

        async def counted(*, timeout_seconds: float = 5.0) -> list[ModelStatus]:
            nonlocal looks
            looks += 1
            return await models(timeout_seconds=timeout_seconds)

        engine.models = counted  # type: ignore[method-assign]
        await until(lambda: looks > 1)
        report = service.readiness.report()
        assert "HTTP port" in report.reason
        assert "HTTP port" in report.models["tiny"].reason
        engine.down = False
        await until(lambda: service.readiness.report().ready)


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


async def test_nothing_runs_on_after_the_service_ended(tmp_path: Path, engine: ScriptedEngine) -> None:
    before = asyncio.all_tasks()
    async with running(tmp_path, engine) as service:
        await until(lambda: service.readiness.report().ready)
        engine.hang = True
        waiting = asyncio.create_task(service.embedding.embed(request("cat")))
        await asyncio.sleep(0.05)
    with pytest.raises(EngineUnavailable):
        await waiting
    assert asyncio.all_tasks() == before
    assert not engine.closed, "an engine that was given belongs to its giver"
