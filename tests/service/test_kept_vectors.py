"""Equal texts through the whole service: computed once, kept where an operator wants it, and counted all the same."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gateway.caching.stores import CacheOptions
from gateway.service.building import Service
from gateway.telemetry.metrics import build_metrics
from gateway.triton.engine import ModelStatus
from tests.support.running_service import request, running, until
from tests.support.scripted_engine import ScriptedEngine

KEEPING = CacheOptions(max_bytes=1_000_000)


@pytest.fixture
def engine() -> ScriptedEngine:
    return ScriptedEngine(states={"tiny": "READY"})


async def sent(service: Service, engine: ScriptedEngine, *requests: object) -> int:
    """Rows that the engine computed for `requests`, canaries left out."""
    await until(lambda: service.readiness.report().ready)
    before = len(engine.calls)
    for one in requests:
        await service.embedding.embed(one)  # type: ignore[arg-type]
    return sum(len(call.inputs["input_ids"]) for call in engine.calls[before:])


async def test_a_text_that_comes_twice_is_computed_once_and_counted_twice(
    tmp_path: Path, engine: ScriptedEngine
) -> None:
    async with running(tmp_path, engine, canary_interval_seconds=1000.0) as service:
        await until(lambda: service.readiness.report().ready)
        before = len(engine.calls)
        result = await service.embedding.embed(request("the cat", "mat", "the cat"))
        assert sum(len(call.inputs["input_ids"]) for call in engine.calls[before:]) == 2
    np.testing.assert_array_equal(result.vectors[0], result.vectors[2])
    assert result.usage.prompt_tokens == 4 + 3 + 4


async def test_nothing_is_kept_unless_an_operator_wants_it(tmp_path: Path, engine: ScriptedEngine) -> None:
    async with running(tmp_path, engine, canary_interval_seconds=1000.0) as service:
        assert await sent(service, engine, request("cat"), request("cat")) == 2


async def test_a_kept_vector_is_the_same_in_every_bit_and_at_every_size(tmp_path: Path, engine: ScriptedEngine) -> None:
    metrics = build_metrics(version="test")
    async with running(tmp_path, engine, canary_interval_seconds=1000.0, cache=KEEPING, metrics=metrics) as service:
        await until(lambda: service.readiness.report().ready)
        embed = service.embedding.embed
        cut, whole = await embed(request("the cat", dimensions=4)), await embed(request("the cat"))
        calls = len(engine.calls)
        again = [await embed(request("the cat")), await embed(request("the cat", dimensions=4))]
        assert len(engine.calls) == calls
    assert again[0].vectors.tobytes() == whole.vectors.tobytes()
    assert again[1].vectors.tobytes() == cut.vectors.tobytes()
    assert again[0].usage == whole.usage
    assert metrics.registry.get_sample_value("gateway_cache_hits_total", {"model": "tiny"}) == 3
    assert metrics.registry.get_sample_value("gateway_cache_bytes") == 8 * 4 + 320


async def test_tenants_share_nothing_and_who_refuses_leaves_nothing(tmp_path: Path, engine: ScriptedEngine) -> None:
    one = request("cat", caller="one")
    async with running(tmp_path, engine, canary_interval_seconds=1000.0, cache=KEEPING) as service:
        assert await sent(service, engine, replace(one, may_keep=False), one, one, replace(one, may_keep=False)) == 3
        assert await sent(service, engine, request("cat", caller="other"), request("cat")) == 2


async def test_a_model_that_is_served_anew_starts_with_nothing(tmp_path: Path, engine: ScriptedEngine) -> None:
    """The tiny model has no lock that says which files it is of."""
    async with running(tmp_path, engine, cache=KEEPING) as service:
        await until(lambda: service.readiness.report().ready)
        await service.embedding.embed(request("the cat"))
        first = service.models.all()["tiny"]
        engine.states["tiny"] = "UNAVAILABLE"
        await until(lambda: "tiny" not in service.models.all())
        engine.states["tiny"] = "READY"
        await until(lambda: service.readiness.report().ready)
        assert service.models.all()["tiny"] is not first
        calls = len(engine.calls)
        await service.embedding.embed(request("the cat"))
        assert any(call.inputs["input_ids"].shape[1] == 4 for call in engine.calls[calls:])


async def test_what_a_model_gave_before_its_first_proof_is_not_kept(tmp_path: Path, engine: ScriptedEngine) -> None:
    engine.hold_from_tokens, engine.wrong = 4, True
    async with running(tmp_path, engine, cache=KEEPING) as service:
        await until(lambda: engine.held == 1)  # the canary, which has four tokens
        wrong = (await service.embedding.embed(request("cat"))).vectors
        assert not service.readiness.report().ready
        engine.wrong = False
        engine.release.set()
        await until(lambda: service.readiness.report().ready)
        np.testing.assert_allclose((await service.embedding.embed(request("cat"))).vectors, -wrong)


async def test_what_a_model_gave_while_it_was_found_out_is_not_kept(tmp_path: Path, engine: ScriptedEngine) -> None:
    """A call is under way when Triton begins to serve another model under this name, and back when it was seen."""
    async with running(tmp_path, engine, cache=KEEPING) as service:
        await until(lambda: service.readiness.report().ready)
        engine.hold_from_tokens = 5
        asked = asyncio.create_task(service.embedding.embed(request("the cat sat")))
        await until(lambda: engine.held == 1)
        engine.wrong = True
        await until(lambda: not service.readiness.report().ready)
        engine.wrong = False
        await until(lambda: service.readiness.report().ready)
        engine.wrong = True
        engine.release.set()
        wrong = (await asked).vectors
        engine.wrong = False
        await until(lambda: service.readiness.report().ready)
        np.testing.assert_allclose((await service.embedding.embed(request("the cat sat"))).vectors, -wrong)


async def test_what_was_computed_while_triton_loaded_the_model_anew_is_not_kept(
    tmp_path: Path, engine: ScriptedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Canaries are right before and after: only Triton's index tells that it is not the same model any more."""

    async def loading(**_: object) -> list[ModelStatus]:
        return [ModelStatus("tiny", "LOADING")]

    async with running(tmp_path, engine, cache=KEEPING) as service:
        await until(lambda: service.readiness.report().ready)
        proof = service.models.all()["tiny"].proof
        before = proof.stretch
        assert before is not None
        monkeypatch.setattr(engine, "models", loading)
        await until(lambda: proof.stretch not in (before, None))
        assert service.readiness.report().ready


async def test_two_who_ask_the_same_at_once_have_it_computed_once(tmp_path: Path, engine: ScriptedEngine) -> None:
    async with running(tmp_path, engine, canary_interval_seconds=1000.0) as service:
        await until(lambda: service.readiness.report().ready)
        calls = len(engine.calls)
        results = await asyncio.gather(*(service.embedding.embed(request("the cat sat")) for _ in range(20)))
        assert sum(len(call.inputs["input_ids"]) for call in engine.calls[calls:]) == 1
    assert len({result.vectors.tobytes() for result in results}) == 1
