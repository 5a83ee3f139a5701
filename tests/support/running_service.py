"""A running service over a scripted engine, and a way to wait for a state."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from gateway.cards.registry import Registry
from gateway.cards.schema import Model
from gateway.service.building import Service, ServiceOptions, build_service
from gateway.service.public_model import OnMissing
from gateway.telemetry.metrics import Metrics, build_metrics
from gateway.types import EmbedRequest, Input, TextInput
from tests.support.scripted_engine import ScriptedEngine
from tests.support.tiny_models import tiny_registry


@asynccontextmanager
async def running(
    folder: Path,
    engine: ScriptedEngine,
    *names: str,
    known: Sequence[Model] = (),
    metrics: Metrics | None = None,
    on_missing: OnMissing = lambda _: None,
    **options: object,
) -> AsyncIterator[Service]:
    """`options` are fields of `ServiceOptions`; the models known are `known`, or the tiny ones of these `names`, or
    `tiny` alone."""
    fields = {"canary_interval_seconds": 0.05, "recovery_wait_seconds": 5.0, "vocabulary_folder": folder, **options}
    async with build_service(
        Registry(known) if known else tiny_registry(folder, *names),
        options=ServiceOptions(**fields),  # type: ignore[arg-type]
        metrics=metrics or build_metrics(version="test"),
        engine=engine,
        on_missing=on_missing,
    ) as service:
        yield service


async def until(condition: Callable[[], bool], *, seconds: float = 10.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - what is waited for is a state, not an event
            await asyncio.sleep(0.005)


def request(*inputs: Input | str, seconds: float = 30.0, **fields: object) -> EmbedRequest:
    given = [TextInput(one) if isinstance(one, str) else one for one in inputs]
    return EmbedRequest(inputs=given, deadline=time.monotonic() + seconds, **fields)  # type: ignore[arg-type]
