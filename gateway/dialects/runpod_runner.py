"""Runs jobs that came by HTTP, so many at a time, whether or not somebody waits for them on a connection."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from contextvars import Context, copy_context
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import orjson
import structlog

from gateway.dialects.base import Services
from gateway.dialects.bodies import parse_object
from gateway.dialects.runpod_faults import failed
from gateway.dialects.runpod_jobs import JobHandler
from gateway.dialects.runpod_limits import JobLimits
from gateway.dialects.runpod_line import Line
from gateway.dialects.runpod_outcome import JobOutcome
from gateway.dialects.runpod_store import JobStatus, JobStore, StoredJob
from gateway.errors import EngineUnavailable, MalformedBody, NotServing, Overloaded

# How long an answer is kept, by how the job came, and how long a job may wait in the queue.
KEEP_SECONDS = 1800.0
KEEP_SYNC_SECONDS = 60.0
QUEUE_SECONDS = 1800.0

_SWEEP_SECONDS = 5.0
_TOO_LATE = "deadline_exceeded"
_NO_ROOM = b'"There is no room left for an answer of this size. Ask for base64, or send fewer inputs in a job."'
_EXPIRED = b'"The job waited in the queue for longer than it was to live."'
_BROKEN = b'"The gateway failed in a way it did not foresee."'


@dataclass(slots=True, eq=False)
class Submission:
    """A job on its way. Once `over` is set, `status` and `answer` say what came of it, and so does `outcome` unless it
    was cancelled or expired. `payload` is the job as JSON, as long as it waits; `latest_start` a reading of the store's
    clock; `context` that of the request that it came by, whose id is in the job's log lines."""

    stored: StoredJob
    payload: bytes
    services: Services
    waits_for: tuple[type[NotServing], ...]
    latest_start: float
    over: asyncio.Event = field(default_factory=asyncio.Event)
    context: Context = field(default_factory=copy_context)
    outcome: JobOutcome | None = None
    status: JobStatus = JobStatus.IN_QUEUE
    answer: bytes = b""

    async def wait(self, seconds: float) -> None:
        """Returns when the job is over, or after so many seconds."""
        try:
            await asyncio.wait_for(self.over.wait(), seconds)
        except TimeoutError:
            return


class JobRunner:
    """`concurrency` jobs run at a time; the others wait in line. Made outside of any event loop, used in one."""

    def __init__(self, limits: JobLimits, *, concurrency: int, store: JobStore) -> None:
        self._limits = limits
        self._concurrency = concurrency
        self._store = store
        self._line: Line[Submission] = Line()
        self._running: dict[str, tuple[Submission, asyncio.Task[None]]] = {}
        self._log = structlog.get_logger("gateway.runpod")

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """At the end jobs are cancelled: nobody could fetch what would come of them."""
        sweeping = asyncio.create_task(self._sweep_now_and_then())
        try:
            yield
        finally:
            sweeping.cancel()
            self._line.take_out(lambda _: True)
            tasks = [task for _, task in self._running.values()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(sweeping, *tasks, return_exceptions=True)

    def submit(self, job: Mapping[str, Any], *, services: Services, caller: str, is_awaited: bool) -> Submission:
        """Puts a job in line. One that nobody waits for on a connection is tried again while there is too much to do.

        Raises `Overloaded` where there is no room for it, `MalformedBody` for one that is nested too deeply to be held.
        """
        payload = _as_json(job)
        stored = self._store.add(
            f"{'sync-' if is_awaited else ''}{uuid.uuid4()}",
            caller=caller,
            input_bytes=len(payload),
            keep_seconds=KEEP_SYNC_SECONDS if is_awaited else KEEP_SECONDS,
        )
        submission = Submission(
            stored=stored,
            payload=payload,
            services=services,
            waits_for=(EngineUnavailable,) if is_awaited else (EngineUnavailable, Overloaded),
            latest_start=stored.submitted + self._limits.queue_seconds_for(job, at_most=QUEUE_SECONDS),
        )
        self._line.add(submission, caller=caller)
        self._fill()
        return submission

    def find(self, job_id: str, *, caller: str) -> StoredJob | None:
        """The caller's own job."""
        return self._store.find(job_id, caller=caller)

    def cancel(self, job: StoredJob) -> None:
        """Ends a job that is not over yet, wherever it is."""
        for submission in self._line.take_out(lambda one: one.stored is job):
            self._end(submission, JobStatus.CANCELLED, b"")
        if job.id in self._running:
            submission, task = self._running[job.id]
            self._end(submission, JobStatus.CANCELLED, b"")
            task.cancel()

    def purge(self, caller: str) -> int:
        """Cancels what of the caller's waits in line; how many that were."""
        waiting = self._line.take_out(lambda one: one.stored.caller == caller)
        for submission in waiting:
            self._end(submission, JobStatus.CANCELLED, b"")
        return len(waiting)

    def discard(self, job: StoredJob) -> None:
        """Cancels a job and forgets it."""
        self.cancel(job)
        self._store.remove(job)

    def mark_delivered(self, job: StoredJob) -> None:
        self._store.mark_delivered(job)

    def _fill(self) -> None:
        while len(self._running) < self._concurrency:
            submission = self._line.next()
            if submission is None:
                return
            if self._is_too_late(submission):
                self._end(submission, JobStatus.TIMED_OUT, _EXPIRED)
                continue
            task = asyncio.create_task(self._work(submission), context=submission.context)
            self._running[submission.stored.id] = (submission, task)
            task.add_done_callback(partial(self._leave, submission))

    def _leave(self, submission: Submission, task: asyncio.Task[None]) -> None:
        self._running.pop(submission.stored.id, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._log.error("unexpected error", exc_info=error)
        if not submission.over.is_set():
            self._end(submission, JobStatus.FAILED, _BROKEN)
        self._fill()

    async def _work(self, submission: Submission) -> None:
        stored = submission.stored
        self._store.start(stored)
        job = parse_object(submission.payload) | {"id": stored.id}
        submission.payload = b""
        handler = JobHandler(submission.services, self._limits)
        outcome = await handler.outcome(job, caller=stored.caller, waits_for=submission.waits_for)
        submission.outcome = outcome
        self._end(submission, *_told(outcome))

    def _end(self, submission: Submission, status: JobStatus, answer: bytes) -> None:
        if submission.over.is_set():
            return
        submission.status, submission.answer = status, answer
        if not self._store.end(submission.stored, status, answer):
            self._store.end(submission.stored, JobStatus.FAILED, _NO_ROOM)
        submission.over.set()

    async def _sweep_now_and_then(self) -> None:
        while True:
            await asyncio.sleep(_SWEEP_SECONDS)
            for submission in self._line.take_out(self._is_too_late):
                self._end(submission, JobStatus.TIMED_OUT, _EXPIRED)
            self._store.forget_expired()

    def _is_too_late(self, submission: Submission) -> bool:
        return self._store.clock() > submission.latest_start


def _as_json(job: Mapping[str, Any]) -> bytes:
    """As it came, so that what it takes is known. JSON may be read that is too deep to be written."""
    try:
        return orjson.dumps(job)
    except orjson.JSONEncodeError:
        raise MalformedBody("The job is nested too deeply. Send its input as RunPod's workers read it.") from None


def _told(outcome: JobOutcome) -> tuple[JobStatus, bytes]:
    """RunPod's status, and as JSON the output or the sentence of the error."""
    if outcome.output is not None:
        return JobStatus.COMPLETED, outcome.output.as_text()
    assert outcome.fault is not None
    is_late = outcome.fault.code == _TOO_LATE
    return JobStatus.TIMED_OUT if is_late else JobStatus.FAILED, orjson.dumps(failed(outcome.fault)["error"])
