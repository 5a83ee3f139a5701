"""A running service over a model that takes rows unpadded, with a scripted engine behind it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from gateway.cards.schema import Card
from gateway.service.building import Service
from tests.support.running_service import running, until
from tests.support.tiny_models import tiny_model
from tests.support.unpadded_engine import UnpaddedEngine, unpadded_card

MODEL = "unpadded"


@asynccontextmanager
async def unpadded(
    folder: Path, *, card: Card | None = None, **options: object
) -> AsyncIterator[tuple[Service, UnpaddedEngine]]:
    """Ready, and with no call counted yet. `options` are those of `running`."""
    engine = UnpaddedEngine(states={MODEL: "READY"})
    fields = {"canary_interval_seconds": 60.0, **options}
    known = [tiny_model(card or unpadded_card(folder))]
    async with running(folder, engine, known=known, **fields) as service:  # type: ignore[arg-type]
        await until(lambda: service.readiness.report().ready)
        engine.calls.clear()
        yield service, engine
