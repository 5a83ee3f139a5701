"""The service over the real Triton and model: right vectors, whatever runs beside, and back after every death."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import numpy as np
import psutil
import pytest

from gateway.cards.registry import Registry
from gateway.errors import EngineUnavailable
from gateway.service.building import Service, ServiceOptions, build_service
from gateway.service.readiness import ReadinessReport
from gateway.telemetry.metrics import build_metrics
from gateway.triton.embedded.background import BackgroundTriton
from gateway.triton.embedded.ports import Ports, pick_free
from gateway.triton.embedded.supervisor import EmbeddedTriton
from tests.conftest import BUNDLED_MODEL, REPOSITORY, ServedTriton, missing_bundled_model, need
from tests.support.running_service import request, until

pytestmark = pytest.mark.triton

GOLDEN = Path(__file__).parent.parent / "golden"
TEXTS: list[str] = json.loads((GOLDEN / "minilm_texts.json").read_text(encoding="utf-8"))
with np.load(GOLDEN / "minilm_reference.npz") as _reference:
    VECTORS = _reference["vectors"]
    LENGTHS = _reference["lengths"].tolist()

TOLERANCE = 1e-5


@asynccontextmanager
async def serving(address: str, **options: object) -> AsyncIterator[Service]:
    registry = Registry(Registry.from_repository(REPOSITORY).find(BUNDLED_MODEL).models)
    async with build_service(
        registry,
        options=ServiceOptions(triton_url=address, **options),  # type: ignore[arg-type]
        metrics=build_metrics(version="test"),
    ) as service:
        await until(lambda: service.readiness.report().ready)
        yield service


def serving_as_up_does(triton: BackgroundTriton, **options: object) -> AbstractAsyncContextManager[Service]:
    ends = triton.triton.endpoints
    return serving(ends.grpc, triton_http_url=ends.http, **options)


async def check(service: Service, places: list[int]) -> None:
    result = await service.embedding.embed(request(*(TEXTS[place] for place in places), seconds=120))
    np.testing.assert_allclose(result.vectors, VECTORS[places], rtol=0, atol=TOLERANCE)
    assert result.usage.prompt_tokens == sum(LENGTHS[place] for place in places)


@pytest.mark.parametrize("http", [True, False], ids=["http", "grpc"])
async def test_vectors_equal_the_reference_alone_together_and_under_load(
    embedded_triton: ServedTriton, http: bool
) -> None:
    everything = list(range(len(TEXTS)))
    async with serving(embedded_triton.grpc, triton_http_url=embedded_triton.http if http else None) as service:
        await check(service, everything)
        for place in everything[::10]:
            await check(service, [place])
        dice = random.Random(3)

        async def client(number: int) -> None:
            await asyncio.sleep(dice.random() * 0.05)
            await check(service, dice.sample(everything[:120], dice.choice([1, 1, 1, 5])))

        gone = [asyncio.create_task(check(service, everything)) for _ in range(2)]
        asyncio.get_running_loop().call_later(0.05, lambda: [task.cancel() for task in gone])
        await asyncio.gather(*(client(number) for number in range(64)))
        assert all(
            isinstance(one, asyncio.CancelledError) for one in await asyncio.gather(*gone, return_exceptions=True)
        )


@pytest.fixture
def own_triton(tritonserver: None, tmp_path: Path) -> Iterator[BackgroundTriton]:
    """A server that the test may kill."""
    need(missing_bundled_model())
    triton = EmbeddedTriton(repository=REPOSITORY, run_folder=tmp_path, ports=Ports(*pick_free(3)))
    with BackgroundTriton(triton) as background:
        background.start([BUNDLED_MODEL])
        yield background


class Load:
    """Clients that never stop; each answer is checked, and every error but `EngineUnavailable` is kept as a fault."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self.answered_at: list[float] = []
        self.refused = 0
        self.faults: list[BaseException] = []
        self._tasks = [asyncio.create_task(self._client(number)) for number in range(8)]

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _client(self, number: int) -> None:
        dice = random.Random(number)
        while True:
            try:
                await check(self._service, dice.sample(range(100), dice.choice([1, 4])))
                self.answered_at.append(time.monotonic())
            except EngineUnavailable:
                self.refused += 1
                await asyncio.sleep(0.02)
            except Exception as error:  # noqa: BLE001 - whatever it is, the test tells
                self.faults.append(error)
                return

    async def answers(self) -> None:
        """Returns at the next answer to a request."""
        seen = len(self.answered_at)
        await until(lambda: len(self.answered_at) > seen + 8 or bool(self.faults), seconds=30)


def process(root: int, name: str) -> int:
    [found] = [child.pid for child in psutil.Process(root).children(recursive=True) if name in child.name()]
    return found


def report(service: Service) -> ReadinessReport:
    return service.readiness.report()


async def test_killing_triton_under_load_gives_answers_or_unavailable_and_heals(own_triton: BackgroundTriton) -> None:
    async with serving_as_up_does(own_triton) as service:
        load = Load(service)
        await load.answers()
        server = own_triton.triton.server_pid
        assert server is not None
        os.kill(server, signal.SIGKILL)
        await until(lambda: not report(service).ready)
        await until(lambda: report(service).ready, seconds=30)
        await load.answers()
        await load.stop()
    assert load.faults == []


async def test_killing_the_backend_process_is_seen_and_healed(own_triton: BackgroundTriton) -> None:
    server = own_triton.triton.server_pid
    assert server is not None
    async with serving_as_up_does(own_triton) as service:
        load = Load(service)
        await load.answers()
        os.kill(process(server, "stub"), signal.SIGKILL)
        await until(lambda: not report(service).ready)
        await until(lambda: report(service).ready, seconds=30)
        await load.answers()
        await load.stop()
        assert load.faults == []

        # And with nobody asking: only the canary can find out. Triton now and then ends itself when its process is
        # killed, and is started again.
        server = own_triton.triton.server_pid
        assert server is not None
        os.kill(process(server, "stub"), signal.SIGKILL)
        await until(lambda: not report(service).ready)
        await until(lambda: report(service).ready, seconds=30)
        await check(service, [0])


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
async def test_calls_in_the_air_of_a_process_that_dies_or_stands_still_are_answered_soon(
    own_triton: BackgroundTriton, number: signal.Signals
) -> None:
    """Triton never answers them itself, and their own deadline is two minutes away."""
    server = own_triton.triton.server_pid
    assert server is not None
    places = list(range(len(TEXTS)))
    async with serving_as_up_does(own_triton, calls_side_by_side=2, recovery_wait_seconds=60.0) as service:
        scheduler = service.models.all()[BUNDLED_MODEL].scheduler
        asked = [asyncio.create_task(check(service, places)) for _ in range(2)]
        await until(lambda: not scheduler.idle)
        stub = psutil.Process(process(server, "stub"))
        stub.send_signal(number)
        try:
            await until(lambda: scheduler.outage is not None, seconds=20)
            assert not report(service).ready
            await asyncio.wait_for(asyncio.gather(*asked), 60)
            await until(lambda: report(service).ready, seconds=30)
        finally:
            if stub.is_running():
                stub.kill()
