"""What a text costs in the gateway alone: the service over an engine that answers at once.

    python -m benchmarks.text_path [--profile]

`--profile` shows where the time goes. No model's time is in the figures. `--repeats 1 --texts 2048` shows in seconds
that everything works.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import pstats
import random
import resource
import statistics
import time
from collections.abc import Awaitable, Callable

import numpy as np

from benchmarks.command import REPOSITORY, at_least, exit_with, installed_embedder
from gateway.cards.installation import expected_canary, read_installation
from gateway.cards.loading import load_model
from gateway.cards.registry import Registry
from gateway.cards.schema import Card
from gateway.errors import ConfigurationError
from gateway.service.building import Service, ServiceOptions, build_service
from gateway.telemetry.metrics import build_metrics
from gateway.triton.engine import InferCall, Instances, ModelStatus, Tensor
from gateway.types import EmbedRequest, Float32Array, TextInput

NAME = "all-MiniLM-L6-v2"
READY_SECONDS = 30.0
WORDS = (
    "the quick brown embedding server answers many requests about physics history tokenization cats dogs in a timely "
    "manner while nobody waits for longer than needed and each vector stays what it was"
).split()


class InstantEngine:
    """Answers every row with the model's own canary vector. Implements `gateway.triton.engine.Engine`."""

    def __init__(self, vector: Float32Array) -> None:
        self._vector = vector

    async def infer(self, call: InferCall, *, timeout_seconds: float) -> dict[str, Tensor]:  # noqa: ARG002
        rows = next(iter(call.inputs.values())).shape[0]
        return {name: np.tile(self._vector, (rows, 1)) for name in call.outputs}

    async def is_live(self, *, timeout_seconds: float = 1.0) -> bool:  # noqa: ARG002
        return True

    async def models(self, *, timeout_seconds: float = 5.0) -> list[ModelStatus]:  # noqa: ARG002
        return [ModelStatus(NAME, "READY")]

    async def load(self, model: str, *, timeout_seconds: float = 60.0) -> None: ...

    async def unload(self, model: str, *, timeout_seconds: float = 60.0) -> None: ...

    async def instances(self, model: str, *, timeout_seconds: float = 5.0) -> Instances:  # noqa: ARG002
        return Instances(2)

    async def close(self) -> None: ...


def canary_vector(card: Card) -> Float32Array:
    """float32 [1, 384]: what readiness asks for, so that the model is served."""
    first = expected_canary(card, read_installation(card))
    vector = np.full((1, card.embedding.dimensions), 0.0, dtype=np.float32)
    vector[0, : len(first)] = first
    vector[0, -1] = np.sqrt(max(0.0, 1.0 - float((vector**2).sum())))
    return vector


async def ready(service: Service) -> None:
    """Raises `ConfigurationError` with the service's own reason where it is not ready in time."""
    end = time.monotonic() + READY_SECONDS
    while not service.readiness.report().ready:
        if time.monotonic() > end:
            raise ConfigurationError(
                f"{NAME} does not become ready: {service.readiness.report().reason}",
                remedy=f"gateway models verify {NAME}",
            )
        await asyncio.sleep(0.02)


def request(texts: list[str]) -> EmbedRequest:
    return EmbedRequest(inputs=[TextInput(text) for text in texts], deadline=time.monotonic() + 60)


async def cpu_seconds(work: Callable[[], Awaitable[object]], *, repeats: int) -> float:
    """The least CPU time of this process for one `work`, over `repeats`."""
    found = []
    for _ in range(repeats):
        started = time.process_time()
        await work()
        found.append(time.process_time() - started)
    return min(found)


async def measure(service: Service, *, repeats: int, texts_in_all: int) -> None:
    embed = service.embedding.embed
    words = random.Random(5)
    text = " ".join(words.choice(WORDS) for _ in range(10))
    bulk = [
        " ".join(words.choice(WORDS) for _ in range(min(200, 4 + int(words.expovariate(1 / 40))))) for _ in range(2048)
    ]
    short = [" ".join(words.choice(WORDS) for _ in range(10)) for _ in range(2048)]

    async def one_by_one() -> None:
        for _ in range(200):
            await embed(request([text]))

    async def many() -> None:
        await asyncio.gather(*(embed(request([f"{number} {text}"])) for number in range(64)))

    print(
        f"one text, one after the other: {await cpu_seconds(one_by_one, repeats=repeats) / 200 * 1e6:.0f} us CPU a text"
    )
    print(f"one text, 64 at a time:        {await cpu_seconds(many, repeats=repeats) / 64 * 1e6:.0f} us CPU a text")
    for name, texts in (("10 words", short), ("mixed", bulk)):
        seconds = await cpu_seconds(lambda texts=texts: embed(request(texts)), repeats=repeats)  # type: ignore[misc]
        print(f"2,048 texts, {name}: {seconds * 1e3:.1f} ms CPU, {seconds / 2048 * 1e6:.1f} us a text")
    await linear(embed, short, texts_in_all=texts_in_all)


async def linear(embed: Callable[[EmbedRequest], Awaitable[object]], short: list[str], *, texts_in_all: int) -> None:
    """Time a text over ever more texts, and the memory beside it."""
    done, slices = 0, []
    while done < texts_in_all:
        started = time.process_time()
        await embed(request([f"{done} {text}" for text in short]))
        slices.append((time.process_time() - started) / len(short) * 1e6)
        done += len(short)
        if done == len(short) or done >= texts_in_all:
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
            print(f"after {done} texts: {statistics.median(slices[-5:]):.1f} us CPU a text, peak memory {peak} MB")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=at_least(1), default=15, help="of which the least counts (default: 15)")
    parser.add_argument("--texts", type=at_least(1), default=40960, help="of the last measurement (default: 40960)")
    parser.add_argument("--profile", action="store_true", help="show where the time goes")
    asyncio.run(measured(parser.parse_args(), installed_embedder(NAME)))
    return 0


async def measured(given: argparse.Namespace, card: Card) -> None:
    registry = Registry([load_model(REPOSITORY / NAME)])
    options = ServiceOptions(canary_interval_seconds=1000.0)
    engine = InstantEngine(canary_vector(card))
    async with build_service(
        registry, options=options, metrics=build_metrics(version="bench"), engine=engine
    ) as service:
        await ready(service)
        if not given.profile:
            await measure(service, repeats=given.repeats, texts_in_all=given.texts)
            return
        profile = cProfile.Profile()
        profile.enable()
        await measure(service, repeats=given.repeats, texts_in_all=given.texts)
        profile.disable()
        pstats.Stats(profile).sort_stats("tottime").print_stats(25)


if __name__ == "__main__":
    exit_with(main)
