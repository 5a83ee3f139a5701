"""jina-embeddings-v4 when its process dies or its device has no memory: callers get right vectors or a 503, and then
right vectors again."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import psutil
import pytest

from gateway.cards.triton_spec import ROW_OK, ROW_OUT_OF_MEMORY
from gateway.triton.grpc_engine import GrpcEngine
from tests.conftest import MERGED_V4, V4, ServedTriton
from tests.support.images import image_file
from tests.support.v4_client import V4Client, assert_like, error_of, text_of
from tests.support.v4_wire import WireRow, wire_call

if TYPE_CHECKING:
    from tests.support.v4_oracle import V4Oracle

pytestmark = pytest.mark.triton

TASK = "retrieval.query"
# Of the merged model, see `tests/support/model_code/faulty_model.py`.
ROOM_TOKENS, POISON = 1000, "<|fim_prefix|>"
Given = str | bytes


@pytest.fixture
async def client(v4_gateway_url: str) -> AsyncIterator[V4Client]:
    client = V4Client(v4_gateway_url)
    yield client
    await client.http.aclose()


@pytest.fixture(scope="module")
def merged_oracle(v4_oracle: V4Oracle, v4_files: dict[str, Path]) -> V4Oracle:
    return type(v4_oracle)(v4_files[MERGED_V4])


async def test_rows_without_room_are_told_from_those_with_it(v4_triton: ServedTriton, merged_oracle: V4Oracle) -> None:
    """What does not fit together is computed apart; what does not fit at all has zeros and its own status."""
    texts = [merged_oracle.text_of_tokens(TASK, tokens, seed=tokens) for tokens in (1500, 600, 600, 600, 9)]
    rows = [WireRow(merged_oracle.ids(TASK, text)) for text in texts]
    engine = GrpcEngine(v4_triton.grpc)
    for _ in range(2):
        call = wire_call(MERGED_V4, rows, "embeddings", "row_status")
        answer = await engine.infer(call, timeout_seconds=60)
        assert answer["row_status"].tolist() == [ROW_OUT_OF_MEMORY, *[ROW_OK] * 4]
        assert not answer["embeddings"][0].any()
        assert_like(answer["embeddings"][1:], [merged_oracle.vector(TASK, text) for text in texts[1:]])
    await engine.close()


async def test_what_does_not_fit_together_is_answered_all_the_same(client: V4Client, merged_oracle: V4Oracle) -> None:
    given: list[Given] = [
        merged_oracle.text_of_tokens(TASK, tokens, seed=tokens) for tokens in (700, 610, 690, 400, 30)
    ]
    given += [image_file(640, 480), image_file(560, 560)]
    found = await client.vectors(*given, model=MERGED_V4, task=TASK)
    assert_like(found, [merged_oracle.vector(TASK, one) for one in given])


async def test_a_text_that_does_not_fit_the_device_is_a_503_and_the_others_are_served(
    client: V4Client, merged_oracle: V4Oracle
) -> None:
    large, small = merged_oracle.text_of_tokens(TASK, 1500, seed=1), text_of(20, 2)
    assert len(merged_oracle.ids(TASK, large)) > ROOM_TOKENS
    requests = [(small,), (large,), (small, "apples"), (large, small)]
    fields = {"model": MERGED_V4, "task": TASK}
    responses = await asyncio.gather(*(client.post(*given, **fields) for given in requests))
    assert [response.status_code for response in responses] == [200, 503, 200, 503]
    refused = responses[1]
    assert error_of(refused)["code"] == "device_out_of_memory"
    assert int(refused.headers["retry-after"]) >= 1
    assert "CUDA" not in refused.text
    assert_like(await client.vectors(small, **fields), [merged_oracle.vector(TASK, small)])
    assert (await client.http.get("/ready")).status_code == 200


async def test_a_vector_of_nan_fails_the_request_that_it_is_for(client: V4Client, merged_oracle: V4Oracle) -> None:
    requests = [("apples",), (f"a {POISON} b",), ("a dog", "apples"), ("apples", POISON), ("the fox",)]
    fields = {"model": MERGED_V4, "task": TASK}
    responses = await asyncio.gather(*(client.post(*given, **fields) for given in requests))
    assert [response.status_code for response in responses] == [200, 500, 200, 500, 200]
    assert error_of(responses[1])["code"] == "embedding_invalid"
    for place in (0, 2, 4):
        found = np.array([row["embedding"] for row in responses[place].json()["data"]])
        assert_like(found, [merged_oracle.vector(TASK, one) for one in requests[place]])


class Load:
    """Clients that never stop. Every answer is a right one or a 503; anything else is kept as a fault."""

    def __init__(self, client: V4Client, oracle: V4Oracle) -> None:
        self._client = client
        self._oracle = oracle
        self.answered = 0
        self.refused = 0
        self.faults: list[object] = []
        self._tasks = [asyncio.create_task(self._run(number)) for number in range(4)]

    async def _run(self, number: int) -> None:
        dice = random.Random(number)
        files = [image_file(60, 90, seed=seed) for seed in range(2)]
        while not self.faults:
            given: Sequence[Given] = [dice.choice([text_of(dice.randint(1, 30), dice.randrange(9)), *files])]
            task = dice.choice(["retrieval.query", "text-matching", "code.passage"])
            try:
                await self._ask(given, task)
            except Exception as error:  # noqa: BLE001 - whatever it is, the test tells
                self.faults.append(error)

    async def _ask(self, given: Sequence[Given], task: str) -> None:
        response = await self._client.post(*given, task=task)
        if response.status_code == 503:
            self.refused += 1
            await asyncio.sleep(0.2)
        elif response.status_code != 200:
            self.faults.append(response.text)
        else:
            found = np.array([row["embedding"] for row in response.json()["data"]])
            assert_like(found, [self._oracle.vector(task, one) for one in given])
            self.answered += 1

    async def answers(self, count: int) -> None:
        """Returns after that many further answers."""
        wanted = self.answered + count
        async with asyncio.timeout(120):
            while self.answered < wanted and not self.faults:  # noqa: ASYNC110 - what is waited for is a state
                await asyncio.sleep(0.02)

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


def stub_of(triton: ServedTriton, model: str) -> int:
    server = triton.background.triton.server_pid
    assert server is not None
    [found] = [
        child.pid
        for child in psutil.Process(server).children(recursive=True)
        if "stub" in child.name() and any(f"/{model}/" in word for word in child.cmdline())
    ]
    return found


async def test_its_process_is_killed_under_load(client: V4Client, v4_triton: ServedTriton, v4_oracle: V4Oracle) -> None:
    load = Load(client, v4_oracle)
    await load.answers(20)
    killed_at = time.monotonic()
    os.kill(stub_of(v4_triton, V4), signal.SIGKILL)
    await load.answers(40)
    await load.stop()
    assert load.faults == []
    # No answer of another process came before: the model was loaded anew.
    assert psutil.Process(stub_of(v4_triton, V4)).create_time() > time.time() - (time.monotonic() - killed_at) - 1
    assert (await client.post("apples")).status_code == 200
