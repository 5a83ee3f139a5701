"""Where the Triton is that runs now, and what it has loaded: asked, never demanded."""

from __future__ import annotations

import asyncio

from gateway.cli import run_file
from gateway.errors import GatewayError
from gateway.settings import Settings
from gateway.triton.endpoint import grpc_address
from gateway.triton.grpc_engine import GrpcEngine

LIVE_SECONDS = 1.0


def triton_address(settings: Settings) -> str:
    """The Triton of the `gateway up` that runs here, else the configured one."""
    running = run_file.read(settings.run_folder / run_file.RUN_FILE_NAME)
    if run_file.is_running(running):
        return f"127.0.0.1:{running['ports']['grpc']}"
    return grpc_address(settings.triton_url)


def loaded_models(settings: Settings) -> frozenset[str]:
    """The names of the Triton models that are ready now; none where no Triton answers quickly. Never raises."""
    try:
        return asyncio.run(_ready(triton_address(settings)))
    except GatewayError:
        return frozenset()


async def _ready(address: str) -> frozenset[str]:
    engine = GrpcEngine(address)
    try:
        if not await engine.is_live(timeout_seconds=LIVE_SECONDS):
            return frozenset()
        statuses = await engine.models(timeout_seconds=LIVE_SECONDS)
        return frozenset(status.name for status in statuses if status.ready)
    finally:
        await engine.close()
