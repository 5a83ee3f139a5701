"""Calls side by side in the real server: urgent ones pass, what nobody waits for is not computed, nothing stays behind.

Bulk calls take as long as the test lets them: a call of very many rounds is ended by unloading or by its deadline only.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import psutil
import pytest
from tritonclient.grpc import service_pb2, service_pb2_grpc

from gateway.triton.embedded.ports import Ports, pick_free
from gateway.triton.embedded.side_by_side import calls_side_by_side
from gateway.triton.embedded.supervisor import EmbeddedTriton
from tests.support import graphs
from tests.support.running_service import until
from tests.support.slow_graph import rounds

LONG = 6000  # half a second and more; a short call is 1
CORES = calls_side_by_side()


@dataclass
class Server:
    triton: EmbeddedTriton
    stub: Any

    def ask(self, count: int, **parameters: Any) -> asyncio.Task[int]:
        """A call of so many rounds, under way; its time in `microseconds` and `urgent` are its parameters."""
        return asyncio.create_task(self._answer(count, **parameters))

    async def _answer(self, count: int, *, urgent: bool = False, microseconds: int = 0) -> int:
        request = service_pb2.ModelInferRequest(model_name="slow")
        tensor = request.inputs.add(name="rounds", datatype="INT64")
        tensor.shape.append(1)
        request.raw_input_contents.append(np.array([count], np.int64).tobytes())
        request.outputs.add(name="y")
        if urgent:
            request.parameters["urgent"].bool_param = True
        if microseconds:
            request.parameters["timeout"].int64_param = microseconds
        response = await self.stub.ModelInfer(request)
        return int(np.frombuffer(response.raw_output_contents[0], np.int64)[0])

    @property
    def process(self) -> psutil.Process:
        assert self.triton.server_pid is not None
        children = psutil.Process(self.triton.server_pid).children()
        [found] = [one for one in children if "stub" in one.name() and one.status() != psutil.STATUS_ZOMBIE]
        return found

    async def control(self, verb: str) -> None:
        request = getattr(service_pb2, f"RepositoryModel{verb}Request")(model_name="slow")
        await getattr(self.stub, f"RepositoryModel{verb}")(request)


@pytest.fixture
async def server(tritonserver: None, tmp_path: Path) -> AsyncIterator[Server]:
    model = rounds()
    graphs.write_model(tmp_path / "repository", "slow", model)
    ports = Ports(*pick_free(3))
    async with EmbeddedTriton(repository=tmp_path / "repository", run_folder=tmp_path, ports=ports) as triton:
        report = await triton.start(["slow"])
        assert dict(report.failed) == {}
        async with grpc.aio.insecure_channel(report.endpoints.grpc) as channel:
            yield Server(triton, service_pb2_grpc.GRPCInferenceServiceStub(channel))


async def under_way(server: Server) -> list[asyncio.Task[int]]:
    """Twice as many long calls as are computed at once, all of which have arrived."""
    calls = [server.ask(LONG) for _ in range(2 * CORES)]
    await until(lambda: cpu_rises(server.process))
    return calls


def cpu_rises(process: psutil.Process) -> bool:
    return bool(process.cpu_percent(interval=0.05) > 50)


async def test_an_urgent_call_passes_all_that_is_computed_and_waits(server: Server) -> None:
    calls = await under_way(server)
    for _ in range(3):
        assert await server.ask(1, urgent=True) == 1
    assert not any(call.done() for call in calls)
    behind = server.ask(2)
    assert await behind == 2
    assert sum(call.done() for call in calls) > CORES, "a call that is not urgent waits for those before it"
    assert await asyncio.gather(*calls) == [LONG] * len(calls)


async def test_urgent_calls_beyond_their_threads_are_answered_in_their_order(server: Server) -> None:
    calls = [server.ask(count, urgent=True) for count in range(1, 8 * CORES)]
    assert await asyncio.gather(*calls) == list(range(1, 8 * CORES))


async def test_a_call_whose_time_is_over_is_refused_and_not_computed(server: Server) -> None:
    calls = await under_way(server)
    late = server.ask(LONG, microseconds=1000)
    with pytest.raises(grpc.aio.AioRpcError, match="time was over"):
        await late
    assert await asyncio.gather(*calls) == [LONG] * len(calls)
    assert await server.ask(7, microseconds=60_000_000) == 7


async def test_a_cancelled_call_is_not_computed(server: Server) -> None:
    """Very many rounds: computing one of them would take minutes."""
    calls = await under_way(server)
    gone = [server.ask(10**7) for _ in range(4)]
    await asyncio.sleep(0.1)
    for call in gone:
        call.cancel()
    assert await asyncio.gather(*calls) == [LONG] * len(calls)
    async with asyncio.timeout(20):
        assert await server.ask(5) == 5


async def test_bulk_gives_way_to_everything_else_and_urgent_threads_do_not(server: Server) -> None:
    own = os.getpriority(os.PRIO_PROCESS, server.process.pid)
    levels = [os.getpriority(os.PRIO_PROCESS, thread.id) for thread in server.process.threads()]
    assert sum(level > own for level in levels) == CORES
    assert sum(level == own for level in levels) >= CORES + 1


async def test_a_model_is_unloaded_and_loaded_while_it_computes_and_leaves_no_thread(server: Server) -> None:
    threads = server.process.num_threads()
    for _ in range(2):
        former = server.process
        calls = await under_way(server)
        await server.control("Unload")
        answers = await asyncio.gather(*calls, return_exceptions=True)
        assert all(one == LONG or isinstance(one, grpc.aio.AioRpcError) for one in answers)
        await gone(former)
        await server.control("Load")
        assert await server.ask(3) == 3
    assert server.process.num_threads() == threads
    for _ in range(50):
        await asyncio.gather(*(server.ask(1, urgent=bool(number % 2)) for number in range(4 * CORES)))
    assert server.process.num_threads() == threads


async def gone(process: psutil.Process) -> None:
    async with asyncio.timeout(60):
        while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:  # noqa: ASYNC110 - a state, no event
            await asyncio.sleep(0.05)


async def test_a_request_that_cannot_be_computed_harms_no_other(server: Server) -> None:
    calls = await under_way(server)
    request = service_pb2.ModelInferRequest(model_name="slow")
    tensor = request.inputs.add(name="rounds", datatype="INT64")
    tensor.shape.append(1)
    request.raw_input_contents.append(np.array([1], np.int64).tobytes())
    request.outputs.add(name="y")
    request.parameters["urgent"].string_param = "so urgent"
    assert (await server.stub.ModelInfer(request)).outputs[0].name == "y"
    assert await asyncio.gather(*calls) == [LONG] * len(calls)
