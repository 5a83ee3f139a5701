"""What callers see while Triton is killed under them, and how soon service is back.

    python -m benchmarks.recovery --json benchmarks/results/DATE-HOST-recovery.json

Starts its own stack. 16 clients ask for known vectors without a pause; after two seconds (`--seconds`) one process is
killed with SIGKILL. Every answer has to be a right vector or a 503; the times say how soon readiness fell and service
resumed.
A last scenario has clients of large requests hang up while others go on. Exit 1 when any answer was neither.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import date
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.command import REPOSITORY, exit_with, installed_embedder
from gateway.bench.ceiling import Ceiling
from gateway.bench.connection import Connection, get
from gateway.bench.machine import hardware
from gateway.bench.stack import BACKEND_PROCESS, SERVER, Server, running_stack
from gateway.bench.target import target_at, vectors
from gateway.bench.texts import mixed_length, short_queries
from gateway.types import Float32Array

MODEL = "all-MiniLM-L6-v2"

CLIENTS = 16
MAX_DIFFERENCE = 1e-5
SECONDS = 2.0
GIVE_UP_SECONDS = 60.0
POLL_SECONDS = 0.01

_READY = get("/ready", host="localhost")
_MODEL_READY = get(f"/v2/models/{MODEL}/ready", host="localhost")
_METRICS = get("/metrics", host="localhost")


def request(texts: str | list[str]) -> bytes:
    """A POST to /v1/embeddings that asks for base64."""
    return target_at("http://localhost:80", name="gateway", model=MODEL).request(texts)


@dataclass(slots=True)
class Answers:
    """What the clients got: answers by status, vectors that were not right, and when right ones came."""

    statuses: Counter[int] = field(default_factory=Counter)
    wrong: int = 0
    broken: int = 0
    right_at: list[float] = field(default_factory=list)

    @property
    def sound(self) -> bool:
        return not self.wrong and not self.broken and set(self.statuses) <= {200, 503}


@dataclass(frozen=True, slots=True)
class Recovery:
    """One kill. Times are seconds since the kill; `after_return` counts from Triton's own word that it serves."""

    killed: str
    statuses: dict[int, int]
    wrong: int
    unready: float
    ready_again: float
    first_answer: float
    after_return: float

    @property
    def sound(self) -> bool:
        return not self.wrong and set(self.statuses) <= {200, 503}


class Load:
    """Clients that ask for vectors whose right values are known, until told to stop."""

    def __init__(self, server: Server, expected: Float32Array, texts: list[str]) -> None:
        self._server = server
        self._expected = expected
        self._requests = [request(text) for text in texts]
        self._stopping = False
        self.answers = Answers()

    async def run(self, clients: int) -> None:
        await asyncio.gather(*(self._client(number) for number in range(clients)))

    def stop(self) -> None:
        self._stopping = True

    async def _client(self, number: int) -> None:
        connection = await Connection.open(self._server.host, self._server.http_port)
        turn = number
        while not self._stopping:
            turn = (turn + CLIENTS) % len(self._requests)
            try:
                status, body = await connection.answer(self._requests[turn])
            except (OSError, asyncio.IncompleteReadError):
                self.answers.broken += 1
                connection = await Connection.open(self._server.host, self._server.http_port)
                continue
            self._count(turn, status, body)
            if status != 200:
                await asyncio.sleep(0.02)
        connection.close()

    def _count(self, turn: int, status: int, body: bytes) -> None:
        self.answers.statuses[status] += 1
        if status == 200:
            self.answers.right_at.append(time.monotonic())
            if np.abs(vectors(body)[0] - self._expected[turn]).max() > MAX_DIFFERENCE:
                self.answers.wrong += 1


async def until(port: int, probe: bytes, accept: Callable[[int], bool]) -> float:
    """When (`time.monotonic()`) a page first answers with a status that `accept` takes; a refused connection is 0."""
    end = time.monotonic() + GIVE_UP_SECONDS
    while time.monotonic() < end:
        if accept(await status_of(port, probe)):
            return time.monotonic()
        await asyncio.sleep(POLL_SECONDS)
    raise TimeoutError(f"nothing changed within {GIVE_UP_SECONDS:g} s")


async def status_of(port: int, probe: bytes) -> int:
    try:
        connection = await Connection.open("127.0.0.1", port)
    except OSError:
        return 0
    try:
        return (await asyncio.wait_for(connection.answer(probe), 1.0))[0]
    except (OSError, TimeoutError, asyncio.IncompleteReadError):
        return 0
    finally:
        connection.close()


async def kill_under_load(
    server: Server, name: str, expected: Float32Array, texts: list[str], *, seconds: float
) -> Recovery:
    """Kill the process `name` after so many seconds of load, and watch until so long after service is back."""
    load = Load(server, expected, texts)
    running = asyncio.create_task(load.run(CLIENTS))
    await asyncio.sleep(seconds)
    server.process(name).kill()
    killed_at = time.monotonic()
    unready_at = await until(server.http_port, _READY, lambda status: status != 200)
    # A dead backend process leaves Triton saying "ready": only the gateway's own word counts then.
    page = (server.triton_http_port, _MODEL_READY) if name == SERVER else (server.http_port, _READY)
    returned_at = await until(*page, lambda status: status == 200)
    ready_at = await until(server.http_port, _READY, lambda status: status == 200)
    await asyncio.sleep(seconds)
    load.stop()
    await running
    answers = load.answers
    first_answer = min((moment for moment in answers.right_at if moment > unready_at), default=float("inf"))
    return Recovery(
        killed=name,
        statuses=dict(answers.statuses) | ({0: answers.broken} if answers.broken else {}),
        wrong=answers.wrong,
        unready=unready_at - killed_at,
        ready_again=ready_at - killed_at,
        first_answer=first_answer - killed_at,
        after_return=max(0.0, first_answer - returned_at),
    )


async def hang_up_under_load(server: Server, expected: Float32Array, texts: list[str]) -> tuple[Answers, float]:
    """Clients of large requests vanish while others go on; returns those others' answers and the rows left in line."""
    load = Load(server, expected, texts)
    running = asyncio.create_task(load.run(4))
    bulk = request(mixed_length(1024, seed=5))
    for _ in range(8):
        connection = await Connection.open(server.host, server.http_port)
        connection.send(bulk)
        await asyncio.sleep(0.2)
        connection.close()
    await asyncio.sleep(1.0)
    load.stop()
    await running
    connection = await Connection.open(server.host, server.http_port)
    page = (await connection.exchange(_METRICS)).decode()
    connection.close()
    [queued] = [line for line in page.splitlines() if line.startswith("gateway_queued_rows{")]
    return load.answers, float(queued.rpartition(" ")[2])


def measure(server: Server, *, seconds: float) -> tuple[list[Recovery], Answers, float]:
    """Every scenario, one after the other."""

    async def run() -> tuple[list[Recovery], Answers, float]:
        texts = short_queries(256, seed=7)
        expected = Ceiling(installed_embedder(MODEL)).embed(texts)
        recoveries = [
            await kill_under_load(server, name, expected, texts, seconds=seconds) for name in (SERVER, BACKEND_PROCESS)
        ]
        return recoveries, *await hang_up_under_load(server, expected, texts)

    return asyncio.run(run())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--seconds", type=float, default=SECONDS, help="of load before each kill and after it (default: 2)"
    )
    parser.add_argument("--json", type=Path, help="write the figures here as well")
    arguments = parser.parse_args()
    installed_embedder(MODEL)
    machine = {"date": date.today().isoformat(), **hardware()}
    with running_stack(MODEL, REPOSITORY) as server:
        recoveries, bystanders, queued = measure(server, seconds=arguments.seconds)
    table = Table(title=f"{machine['date']}, {machine['cpu']}, {CLIENTS} clients; seconds since the kill")
    table.add_column("killed", no_wrap=True)
    for heading in (
        "answers",
        "wrong",
        "unready",
        "ready again",
        "first answer",
        "first answer after return",
    ):
        table.add_column(heading)
    for one in recoveries:
        counts = ", ".join(f"{count} x {status}" for status, count in sorted(one.statuses.items()))
        times = (one.unready, one.ready_again, one.first_answer, one.after_return)
        table.add_row(one.killed, counts, str(one.wrong), *(f"{seconds:.2f}" for seconds in times))
    console = Console()
    console.print(table)
    counts = ", ".join(f"{count} x {status}" for status, count in sorted(bystanders.statuses.items()))
    console.print(
        f"beside 8 clients that hung up on 1,024 texts: {counts}, {bystanders.wrong} wrong, {queued:g} rows left"
    )
    if arguments.json:
        record = {
            "machine": machine,
            "recoveries": [asdict(one) for one in recoveries],
            "hang_ups": {"statuses": dict(bystanders.statuses), "wrong": bystanders.wrong, "rows_left": queued},
        }
        arguments.json.write_text(json.dumps(record, indent=1) + "\n")
    return 0 if all(one.sound for one in recoveries) and bystanders.sound and not queued else 1


if __name__ == "__main__":
    exit_with(main)
