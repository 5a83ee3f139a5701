"""What the gateway adds to a direct gRPC call: pairs of one short query each, so that noise hits both alike.

The direct call goes by gRPC through the gateway's own client for it, from this process, and is as urgent as those of
the gateway, which makes short ones by Triton's HTTP; the query through the gateway goes over a blocking socket.
Whichever comes first in a pair comes second in the next.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

from gateway.bench.accounting import Account, accounted
from gateway.bench.blocking import BlockingConnection
from gateway.bench.contenders import Contest, DirectContender, HttpContender
from gateway.bench.direct import Direct
from gateway.bench.measurement import MILLISECONDS, Load, Measurement
from gateway.bench.model_rows import Batch
from gateway.bench.parity import Parity
from gateway.bench.spread import percentile
from gateway.bench.target import Target
from gateway.bench.turns import turns
from gateway.bench.workloads import Plan, Workload, singles
from gateway.triton.grpc_engine import GrpcEngine

REQUEST_SECONDS = 30.0
# Of fewer the 99th percentile is the word of the two or three slowest.
LEAST_PAIRS = 100
WARM_UP_PAIRS = 5


@dataclass(frozen=True, slots=True)
class Pairs:
    """Seconds of each pair's direct call and of its query through the gateway, in order."""

    direct: Sequence[float]
    gateway: Sequence[float]

    @property
    def texts(self) -> int:
        return len(self.gateway)

    def figures(self) -> dict[str, float]:
        """Those of the gateway's queries, and what they took longer.

        `added_p50_ms` is the median of the differences within a pair. `added_p99_ms` is the 99th percentile of the
        gateway less that of the direct call; `paired_p99_ms` the 99th percentile of the differences within a pair,
        which is larger, as it has the worst moments of both in it.
        """
        found = Load(self.texts, sum(self.gateway) or 1.0, self.gateway).figures()
        if not self.gateway:
            return found
        added = [through - direct for through, direct in zip(self.gateway, self.direct, strict=True)]
        found["added_p50_ms"] = MILLISECONDS * percentile(added, 50)
        if len(added) >= LEAST_PAIRS:
            found["added_p99_ms"] = MILLISECONDS * (percentile(self.gateway, 99) - percentile(self.direct, 99))
            found["paired_p99_ms"] = MILLISECONDS * percentile(added, 99)
        return found


def added_latency(contest: Contest, account: Account, plan: Plan, parity: Parity, repeat: int) -> Sequence[Measurement]:
    """Nothing where Triton cannot be asked, or the gateway speaks TLS. `plan.pairs` pairs."""
    direct, server = contest.direct, contest.servers[0]
    if direct is None or server.target.tls:
        return ()
    pairs, figures = accounted(account, lambda: asyncio.run(_pairs(direct.direct, server.target, plan, parity)))
    own = Load(len(pairs.direct), sum(pairs.direct) or 1.0, pairs.direct).figures()
    return (_measurement(direct, own, repeat), _measurement(server, figures, repeat))


def _measurement(contender: DirectContender | HttpContender, figures: dict[str, float], repeat: int) -> Measurement:
    return Measurement(Workload.ADDED.value, contender.name, contender.generator, repeat, figures)


async def _pairs(direct: Direct, target: Target, plan: Plan, parity: Parity) -> Pairs:
    texts = singles()[: plan.pairs]
    batches = [direct.model.batches([text])[0] for text in texts]
    connection = BlockingConnection(target.host, target.port, timeout_seconds=REQUEST_SECONDS)
    try:
        async with direct.connected() as engine:
            asker = _Asker(direct, engine, batches, connection, [target.request(text) for text in texts])
            pairs = await asker.pairs()
    finally:
        connection.close()
    parity.compare_answer(target.name, [texts[-1]], asker.last_body)
    return pairs


@dataclass(slots=True)
class _Asker:
    """Both ways to ask for the query of a number; what can be made beforehand was."""

    direct: Direct
    engine: GrpcEngine
    batches: Sequence[Batch]
    connection: BlockingConnection
    requests: Sequence[bytes]
    last_body: bytes = b""

    async def pairs(self) -> Pairs:
        for number in range(min(WARM_UP_PAIRS, len(self.batches))):
            await self._called(number)
            await self._asked(number)
        called: list[float] = []
        asked: list[float] = []
        for number in range(len(self.batches)):
            for way, taken in turns(((self._called, called), (self._asked, asked)), repeat=number):
                taken.append(await way(number))
        return Pairs(called, asked)

    async def _called(self, number: int) -> float:
        begin = time.perf_counter()
        await self.direct.call(self.engine, self.batches[number])
        return time.perf_counter() - begin

    async def _asked(self, number: int) -> float:
        begin = time.perf_counter()
        status, self.last_body = self.connection.answer(self.requests[number])
        taken = time.perf_counter() - begin
        if status != 200:
            raise RuntimeError(f"the gateway answered {status}")
        return taken
