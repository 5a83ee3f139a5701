"""What the monitor promises: readiness is proved, a lost engine is told and found again, the index is followed."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from gateway.cards.registry import Registry
from gateway.errors import EngineUnavailable, UnknownModel
from gateway.service.readiness import _why_absent
from gateway.triton.engine import ModelStatus
from tests.support.running_service import request, running, until
from tests.support.scripted_engine import ScriptedEngine
from tests.support.tiny_models import CANARY_IDS
from tests.support.twin_repository import SHIPPED


@pytest.fixture
def engine() -> ScriptedEngine:
    return ScriptedEngine(states={"tiny": "READY"})


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
