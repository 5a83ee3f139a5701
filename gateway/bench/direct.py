"""Triton itself, asked over gRPC for the very tensors that the ceiling computes: what the gateway adds is the rest."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import numpy as np

from gateway.bench.measurement import Load
from gateway.bench.model_rows import Batch, ModelRows
from gateway.triton.embedded.side_by_side import calls_side_by_side
from gateway.triton.engine import InferCall
from gateway.triton.grpc_engine import GrpcEngine
from gateway.types import Float32Array

NAME = "grpc"
CALL_SECONDS = 60.0


class Direct:
    """Calls of one model, tokenized, sorted and padded beforehand."""

    def __init__(self, address: str, model: ModelRows) -> None:
        """`address` is Triton's `host:port`."""
        self.address = address
        self.model = model

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[GrpcEngine]:
        engine = GrpcEngine(self.address)
        try:
            yield engine
        finally:
            await engine.close()

    async def call(self, engine: GrpcEngine, batch: Batch) -> Float32Array:
        output = self.model.reading.output
        # What waits for one query is urgent, as the gateway says of it; a batch of many is not.
        call = InferCall(self.model.card.name, batch.tensors, (output,), urgent=len(batch.places) == 1)
        return (await engine.infer(call, timeout_seconds=CALL_SECONDS))[output]

    async def embed(self, texts: Sequence[str]) -> Float32Array:
        """float32 [texts, dimensions]."""
        vectors: list[Float32Array] = [np.empty(0, np.float32)] * len(texts)
        async with self.connected() as engine:
            for batch in self.model.batches(texts):
                found = self.model.vectors(batch, await self.call(engine, batch))
                for place, vector in zip(batch.places, found, strict=True):
                    vectors[place] = vector
        return np.stack(vectors)

    async def closed_loop(self, requests: Sequence[Sequence[str]], *, clients: int, seconds: float) -> Load:
        """As `gateway.bench.closed_loop`: the batches of each request, as many at a time as the gateway keeps under
        way, which is one a core and one that is ready."""
        prepared = [self.model.batches(texts) for texts in requests]
        places, done, latencies = itertools.cycle(range(len(requests))), 0, []
        begin = time.perf_counter()

        async def client(engine: GrpcEngine) -> None:
            nonlocal done
            while True:
                place, sent = next(places), time.perf_counter()
                await self._all_of(engine, prepared[place])
                latencies.append(time.perf_counter() - sent)
                done += len(requests[place])
                if time.perf_counter() - begin >= seconds:
                    return

        async with self.connected() as engine:
            await asyncio.gather(*(client(engine) for _ in range(clients)))
        return Load(done, time.perf_counter() - begin, latencies)

    async def _all_of(self, engine: GrpcEngine, batches: Sequence[Batch]) -> None:
        waiting = iter(batches)

        async def caller() -> None:
            for batch in waiting:
                await self.call(engine, batch)

        await asyncio.gather(*(caller() for _ in range(min(calls_side_by_side() + 1, len(batches)))))
