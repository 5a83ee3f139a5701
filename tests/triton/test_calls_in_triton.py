"""What a Python model inside the real server sees of a call: its timeout, whether it is urgent, and that it was given
up; with and without Triton's dynamic batching."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest

from gateway.errors import DeadlineExceeded
from gateway.triton.embedded.ports import Ports, pick_free
from gateway.triton.embedded.supervisor import EmbeddedTriton
from gateway.triton.engine import InferCall
from gateway.triton.grpc_engine import GrpcEngine
from tests.support.model_code.telling import COUNTS

pytestmark = pytest.mark.triton

CONFIG = """
backend: "python"
max_batch_size: %d
input [ { name: "seconds", data_type: TYPE_FP32, dims: [ -1 ] } ]
output [ { name: "seen", data_type: TYPE_INT64, dims: [ -1 ] } ]
instance_group [ { count: 1, kind: KIND_CPU } ]
%s
"""
MODEL = Path(__file__).parent.parent / "support" / "model_code" / "telling.py"


@pytest.fixture
async def triton(tmp_path: Path) -> AsyncIterator[EmbeddedTriton]:
    for name, config in (("plain", CONFIG % (0, "")), ("batched", CONFIG % (8, "dynamic_batching { }"))):
        folder = tmp_path / "models" / name
        (folder / "1").mkdir(parents=True)
        (folder / "config.pbtxt").write_text(f'name: "{name}"\n{config}')
        (folder / "1" / "model.py").write_text(MODEL.read_text())
    ports = Ports(*pick_free(3))
    async with EmbeddedTriton(repository=tmp_path / "models", run_folder=tmp_path / "run", ports=ports) as running:
        await running.start(["plain", "batched"])
        yield running


async def seen(
    engine: GrpcEngine, model: str, *, seconds: float = 0.0, urgent: bool = False, timeout_seconds: float = 20.0
) -> dict[str, int]:
    """What the model tells, which computes for so many seconds or until it hears that nobody waits."""
    given = np.full((1, 1) if model == "batched" else (1,), seconds, np.float32)
    call = InferCall(model, {"seconds": given}, ("seen",), urgent=urgent)
    told = (await engine.infer(call, timeout_seconds=timeout_seconds))["seen"]
    return dict(zip(COUNTS, told.ravel().tolist(), strict=True))


async def test_models_see_what_a_call_may_take_and_hear_when_it_is_given_up(triton: EmbeddedTriton) -> None:
    by_grpc = GrpcEngine(triton.endpoints.grpc)
    by_http = GrpcEngine("127.0.0.1:9", http_address=triton.endpoints.http)
    for engine in (by_grpc, by_http):
        for model in ("plain", "batched"):
            told = await seen(engine, model, timeout_seconds=7.0)
            assert (told["timeout_microseconds"], told["urgent"]) == (7_000_000, 0)
            assert (await seen(engine, model, urgent=True))["urgent"] == 1
        with pytest.raises(DeadlineExceeded):
            await seen(engine, "plain", seconds=0.5, timeout_seconds=0.1)
    await by_http.close()

    before = (await seen(by_grpc, "plain"))["given_up"]
    call = asyncio.create_task(seen(by_grpc, "plain", seconds=600.0, timeout_seconds=900.0))
    await asyncio.sleep(0.3)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    # The model answers, and within a call's time: it does not compute what was given up.
    assert (await seen(by_grpc, "plain"))["given_up"] == before + 1
    await by_grpc.close()
