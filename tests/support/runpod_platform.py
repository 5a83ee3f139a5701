"""RunPod's cloud on loopback, as far as a worker and the stock client see it: jobs are queued, handed out to whoever
long-polls for them, and their results kept."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gateway.settings import Settings
from tests.support.live_server import live_server

POD, ENDPOINT, KEY = "pod-1", "endpoint-1", "key-1"
# Longer than any test may take: a worker that only ends when its poll returns fails.
POLL_SECONDS = 60.0
FINAL = ("COMPLETED", "FAILED")


@dataclass
class Platform:
    url: str = ""
    jobs: dict[str, dict[str, Any]] = field(default_factory=dict)
    batches: list[int] = field(default_factory=list)
    pings: list[str] = field(default_factory=list)
    largest_under_way: int = 0
    _changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    @property
    def client_base(self) -> str:
        """For `runpod.endpoint_url_base`."""
        return f"{self.url}/v2"

    def environment(self) -> dict[str, str]:
        """What the platform sets for a worker."""
        base = f"{self.url}/v2/{ENDPOINT}"
        return {
            "RUNPOD_WEBHOOK_GET_JOB": f"{base}/job-take/$ID?gpu=none",
            "RUNPOD_WEBHOOK_POST_OUTPUT": f"{base}/job-done/$RUNPOD_POD_ID/$ID?gpu=none",
            "RUNPOD_WEBHOOK_PING": f"{base}/ping/$RUNPOD_POD_ID",
            "RUNPOD_PING_INTERVAL": "1000",
            "RUNPOD_AI_API_KEY": KEY,
            "RUNPOD_POD_ID": POD,
            "RUNPOD_ENDPOINT_ID": ENDPOINT,
        }

    def app(self) -> Starlette:
        base = f"/v2/{ENDPOINT}"
        return Starlette(
            routes=[
                Route(f"{base}/run", self._run, methods=["POST"]),
                Route(f"{base}/runsync", self._run_sync, methods=["POST"]),
                Route(f"{base}/status/{{job}}", self._status),
                Route(f"{base}/job-take/{POD}", self._take),
                Route(f"{base}/job-take-batch/{POD}", self._take),
                Route(f"{base}/job-stop/{POD}", self._nothing_to_stop),
                Route(f"{base}/job-done/{POD}/{{job}}", self._done, methods=["POST"]),
                Route(f"{base}/ping/{POD}", self._ping),
            ]
        )

    async def _run(self, request: Request) -> Response:
        job = f"job-{uuid.uuid4()}"
        self.jobs[job] = {"id": job, "status": "IN_QUEUE", "sent": await request.json()}
        await self._tell()
        return JSONResponse({"id": job, "status": "IN_QUEUE"})

    async def _run_sync(self, request: Request) -> Response:
        job = json.loads(bytes((await self._run(request)).body))["id"]
        async with self._changed:
            await self._changed.wait_for(lambda: self.jobs[job]["status"] in FINAL)
        return self._seen(job)

    async def _status(self, request: Request) -> Response:
        return self._seen(request.path_params["job"])

    def _seen(self, job: str) -> Response:
        known = self.jobs[job]
        return JSONResponse({name: value for name, value in known.items() if name != "sent"})

    async def _take(self, request: Request) -> Response:
        assert request.headers["authorization"] == KEY
        most = int(request.query_params.get("batch_size", 1))
        self.batches.append(most)
        try:
            async with asyncio.timeout(POLL_SECONDS), self._changed:
                await self._changed.wait_for(self._waiting)
        except TimeoutError:
            return Response(status_code=204)
        taken = self._waiting()[:most]
        for job in taken:
            job["status"] = "IN_PROGRESS"
        under_way = sum(job["status"] == "IN_PROGRESS" for job in self.jobs.values())
        self.largest_under_way = max(self.largest_under_way, under_way)
        handed = [{"id": job["id"], **job["sent"]} for job in taken]
        return JSONResponse(handed if "batch_size" in request.query_params else handed[0])

    def _waiting(self) -> list[dict[str, Any]]:
        return [job for job in self.jobs.values() if job["status"] == "IN_QUEUE"]

    async def _done(self, request: Request) -> Response:
        result = json.loads(await request.body())
        status = "FAILED" if "error" in result else "COMPLETED"
        self.jobs[request.path_params["job"]].update(status=status, **result)
        await self._tell()
        return Response()

    async def _ping(self, request: Request) -> Response:
        self.pings.append(request.query_params.get("job_id", ""))
        return Response()

    async def _nothing_to_stop(self, _request: Request) -> Response:
        await asyncio.sleep(POLL_SECONDS)
        return JSONResponse({"jobsToStop": []})

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()


@contextmanager
def platform() -> Iterator[Platform]:
    made = Platform()
    settings = Settings(_env_file=None, drain_seconds=0)  # type: ignore[call-arg]
    with live_server(settings, made.app()) as server:
        made.url = server.url
        yield made
