"""Asks a tritonserver over HTTP on loopback whether it serves, and which models."""

from __future__ import annotations

import asyncio
from types import TracebackType

import httpx

from gateway.triton.engine import ModelStatus

# Asked again and again during a start: a server that has died meanwhile is not to be waited for.
LIVE_SECONDS = 1.0

# A server under full load answers this page within milliseconds; so long a silence is one that does not end.
DEAF_PROBES = 10
DEAF_INTERVAL_SECONDS = 1.0


class Probe:
    """Health and repository index of one server. The gRPC engine is for inference; this needs no model and no stub."""

    def __init__(self, address: str) -> None:
        self._client = httpx.AsyncClient(base_url=f"http://{address}", timeout=5.0, trust_env=False)

    async def __aenter__(self) -> Probe:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.aclose()

    async def is_live(self) -> bool:
        """Whether the server answers. It starts listening only after it has tried to load every model."""
        try:
            answer = await self._client.get("/v2/health/live", timeout=LIVE_SECONDS)
        except httpx.TransportError:
            return False
        return answer.is_success

    async def until_deaf(self) -> None:
        """Returns when a server that was live has not answered `DEAF_PROBES` times in a row."""
        silent = 0
        while silent < DEAF_PROBES:
            await asyncio.sleep(DEAF_INTERVAL_SECONDS)
            silent = 0 if await self.is_live() else silent + 1

    async def models(self) -> list[ModelStatus]:
        """The repository index. Raises `httpx.HTTPError` where the server is gone."""
        answer = await self._client.post("/v2/repository/index", json={})
        answer.raise_for_status()
        return [
            ModelStatus(name=row["name"], state=row.get("state", ""), reason=row.get("reason", ""))
            for row in answer.json()
        ]
