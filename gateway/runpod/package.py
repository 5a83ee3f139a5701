"""The runpod package, started with our handler and kept to what is asked of it here: its job loop.

On its own it checks the worker's network by dialling a public address, and a GPU whose memory our model already holds;
the canary has proved more than both.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import multiprocessing
import os
import sys
from collections.abc import Awaitable, Callable, Iterator, Sequence
from types import ModuleType
from typing import Any

import orjson

from gateway.errors import ConfigurationError
from gateway.runpod.stopping import ConcurrencyAndStop

Handler = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]

_SWITCHED_OFF = ("RUNPOD_SKIP_AUTO_SYSTEM_CHECKS", "RUNPOD_SKIP_GPU_CHECK")
# More than one would be processes that have no model; the package gives up with them.
_REALTIME_WORKERS = "RUNPOD_REALTIME_CONCURRENCY"


def load() -> ModuleType:
    """The package's `serverless` module. Raises `ConfigurationError` where it is not installed."""
    for name in _SWITCHED_OFF:
        os.environ.setdefault(name, "true")
    os.environ[_REALTIME_WORKERS] = "1"
    try:
        return importlib.import_module("runpod.serverless")
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"The runpod package is not installed here ({error.name} is missing).",
            remedy="In the project's folder: pip install -e '.[runpod]'",
            code="runpod_missing",
        ) from None


def serve(
    serverless: ModuleType, handler: Handler, *, words: Sequence[str], concurrency: int, drain_seconds: float
) -> int:
    """Has the package answer jobs with `handler`, up to `concurrency` at a time, until a signal ends it; returns the
    exit code."""
    jobs = importlib.import_module("runpod.serverless.modules.worker_state").JobsProgress()
    modifier = ConcurrencyAndStop(concurrency, drain_seconds=drain_seconds, jobs_under_way=jobs.get_job_count)
    if "--rp_debugger" in words:
        handler = with_output(handler)
    with _command_line(words), _without_heartbeat():
        return _started(serverless, {"handler": handler, "concurrency_modifier": modifier})


def run_once(serverless: ModuleType, handler: Handler, *, words: Sequence[str]) -> int:
    """Runs the test job, writes its answer as one line of JSON to standard output, and returns the exit code.

    The package's own output goes to standard error: it cuts an answer after 4096 characters, and is no JSON.
    """
    answers: list[dict[str, Any]] = []

    async def kept(job: dict[str, Any]) -> dict[str, Any]:
        answer = await handler(job)
        answers.append({"id": job["id"], **_told(dict(answer))})
        return answer

    with _command_line(words), contextlib.redirect_stdout(sys.stderr):
        code = _started(serverless, {"handler": kept})
    for answer in answers:
        sys.stdout.write(f"{orjson.dumps(answer).decode()}\n")
        sys.stdout.flush()
    return code


def with_output(handler: Handler) -> Handler:
    """The package's debugger writes into a job's output; of a failed job that has none, nobody would ever hear."""

    async def answer(job: dict[str, Any]) -> dict[str, Any]:
        found = await handler(job)
        return {**found, "status": "FAILED"} if "error" in found else found

    return answer


def _started(serverless: ModuleType, config: dict[str, Any]) -> int:
    try:
        serverless.start(config)
    except SystemExit as end:
        return int(end.code or 0)
    except asyncio.CancelledError:
        return 0  # the job loop's end after a stop signal
    return 0


def _told(answer: dict[str, Any]) -> dict[str, Any]:
    """As the platform tells of a finished job."""
    if "error" in answer:
        return {"status": "FAILED", "error": answer["error"]}
    return {"status": "COMPLETED", "output": answer}


@contextlib.contextmanager
def _command_line(words: Sequence[str]) -> Iterator[None]:
    """The package reads `sys.argv` itself."""
    before = sys.argv
    sys.argv = [before[0] if before else "gateway", *words]
    try:
        yield
    finally:
        sys.argv = before


@contextlib.contextmanager
def _without_heartbeat() -> Iterator[None]:
    """Ends the process that the package forks for its heartbeat: it holds copies of our pipes, Triton's among them."""
    before = set(multiprocessing.active_children())
    try:
        yield
    finally:
        for process in set(multiprocessing.active_children()) - before:
            if process.daemon and process.name.startswith("Process-"):
                process.kill()  # it has our own handlers for any kinder signal
                process.join()
