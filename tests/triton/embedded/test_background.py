"""A start that blocks, with something to do until it is over."""

from __future__ import annotations

import asyncio

import pytest

from gateway.triton.embedded.background import BackgroundTriton
from gateway.triton.embedded.supervisor import Endpoints, StartReport

REPORT = StartReport(
    endpoints=Endpoints(grpc="127.0.0.1:1", http="", metrics=""),
    ready=("a",),
    failed={},
    seconds=0.0,
    stub_environment=None,
)


class Waiting:
    """Starts when it is let, and remembers how it ended."""

    def __init__(self) -> None:
        self.let = asyncio.Event()
        self.ends: list[str] = []

    async def start(self, models: tuple[str, ...]) -> StartReport:
        try:
            await asyncio.wait_for(self.let.wait(), 20)
        except asyncio.CancelledError:
            self.ends.append("cancelled")
            raise
        return REPORT

    async def stop(self) -> None:
        self.ends.append("stopped")


def test_what_is_done_meanwhile_is_done_before_the_start_is_over() -> None:
    triton = Waiting()
    with BackgroundTriton(triton) as background:
        # The start waits for it: done afterwards, it would come too late.
        report = background.start(("a",), meanwhile=lambda: background._loop.call_soon_threadsafe(triton.let.set))
    assert report is REPORT
    assert triton.ends == ["stopped"]


def test_what_fails_meanwhile_ends_the_start() -> None:
    triton = Waiting()

    def fail() -> None:
        raise ValueError("no app")

    with pytest.raises(ValueError, match="no app"), BackgroundTriton(triton) as background:
        background.start(("a",), meanwhile=fail)
    # A start that is cancelled before its first step never began.
    assert set(triton.ends) in ({"stopped"}, {"stopped", "cancelled"})
    assert not background._thread.is_alive()
