"""RunPod's serverless API, of its cloud and of its package's local server: jobs waited for, or asked for later.

A job's input means what it means to a worker, `gateway runpod`: `gateway.dialects.runpod_jobs`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any
from urllib.parse import parse_qs

import orjson
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.routing import BaseRoute
from starlette.types import Scope

from gateway.dialects.endpoint import Answer, Call, EndpointLimits, JsonEndpoint
from gateway.dialects.error_schema import POST_ERRORS, error_responses
from gateway.dialects.faults import Fault
from gateway.dialects.pages import Page, json_response
from gateway.dialects.routing import serve
from gateway.dialects.runpod_faults import failed
from gateway.dialects.runpod_jobs import INPUT_FORM
from gateway.dialects.runpod_limits import JobLimits
from gateway.dialects.runpod_runner import JobRunner, Submission
from gateway.dialects.runpod_schema import (
    RunPodAccepted,
    RunPodError,
    RunPodJob,
    RunPodPurged,
    RunPodStatus,
    RunPodStream,
)
from gateway.dialects.runpod_store import JobStatus, JobStore, StoredJob
from gateway.errors import InvalidField, NotOffered, Overloaded
from gateway.telemetry.callers import caller_of
from gateway.telemetry.requests import record_of

_TAGS = ["RunPod"]
_DEFAULT_WAIT_MILLISECONDS = 90_000
_MIN_WAIT_MILLISECONDS, _MAX_WAIT_MILLISECONDS = 1_000, 300_000
_NOT_FOUND = Fault(
    status=404,
    message="There is no such job: it never was, is another caller's, or is over for longer than answers are kept.",
    code="job_not_found",
)


class RunPod:
    """The operations of an endpoint, with and without its id before them, which may be anything."""

    name = "runpod"
    source = "https://docs.runpod.io/serverless/endpoints/operation-reference"
    path_prefixes: Sequence[str] = ()

    def __init__(
        self, limits: EndpointLimits, *, concurrency: int, max_output_bytes: int, store: JobStore | None = None
    ) -> None:
        """`concurrency` jobs run at a time; `max_output_bytes` bounds an answer as JSON."""
        jobs = JobLimits(limits.inputs, limits.request_timeout_seconds, max_output_bytes)
        self._limits = limits
        self._runner = JobRunner(jobs, concurrency=concurrency, store=JobStore() if store is None else store)

    def running(self) -> AbstractAsyncContextManager[None]:
        """To be open while requests come."""
        return self._runner.running()

    def routes(self) -> list[BaseRoute]:
        return [
            *self._post("/run", "run", self._run, start_job),
            *self._post("/runsync", "runsync", self._run_and_wait, run_job),
            *self._page("/status/{job}", "status", self._status, {"GET": job_status, "POST": job_status_by_post}),
            *self._page("/cancel/{job}", "cancel", self._cancel, {"POST": cancel_job}),
            *self._page("/stream/{job}", "stream", self._stream, {"GET": stream_job, "POST": stream_job_by_post}),
            *self._page("/purge-queue", "purge", self._purge, {"POST": purge_queue}),
            *self._page("/retry/{job}", "retry", _no_retry, {"POST": refuse_retry}),
        ]

    def _post(
        self, path: str, route: str, answer: Callable[[Call], Awaitable[Answer]], describe: Callable[..., Any]
    ) -> list[BaseRoute]:
        return serve(
            _forms(path),
            JsonEndpoint(f"runpod_{route}", answer, limits=self._limits),
            method="POST",
            describe=describe,
            responses=error_responses(*POST_ERRORS, model=RunPodError),
            tags=_TAGS,
        )

    def _page(
        self, path: str, route: str, answer: Callable[[Scope], Response], methods: Mapping[str, Callable[..., Any]]
    ) -> list[BaseRoute]:
        """Bodies are not read: the local server's clients send none, the cloud's an empty one."""
        return [
            bound
            for method, describe in methods.items()
            for bound in serve(
                _forms(path),
                Page(f"runpod_{route}", answer),
                method=method,
                describe=describe,
                responses=error_responses(401, 403, 404, model=RunPodError),
                tags=_TAGS,
            )
        ]

    def render_fault(self, fault: Fault, *, request_id: str) -> Response:  # noqa: ARG002 - in the header alone
        """As a failed job, whose sentence ends with status, code and field."""
        return json_response(_as_failed(fault), status=fault.status, headers=fault.headers)

    async def _run(self, call: Call) -> Answer:
        submission = self._submit(call, is_awaited=False)
        return Answer(orjson.dumps({"id": submission.stored.id, "status": JobStatus.IN_QUEUE.value}))

    async def _run_and_wait(self, call: Call) -> Answer:
        seconds = _wait_seconds(call.scope)
        submission = self._submit(call, is_awaited=True)
        try:
            await call.wait_for(submission.wait(seconds))
        except (ClientDisconnect, asyncio.CancelledError):
            # The id went out to nobody, so nobody could ask for what comes of it.
            self._runner.discard(submission.stored)
            raise
        if not submission.over.is_set():
            return Answer(_job_json(submission.stored, status=submission.stored.status, answer=b""))
        outcome = submission.outcome
        if outcome is not None:
            facts, fault = outcome.facts, outcome.fault
            if fault is not None and fault.status == 429:
                self._runner.discard(submission.stored)
                raise Overloaded(
                    fault.message, retry_after_seconds=int(fault.headers.get("retry-after", "1")), code=fault.code
                )
            call.note(model=facts.model, inputs=facts.inputs, usage=facts.usage, stages=facts.stages)
        self._runner.mark_delivered(submission.stored)
        return Answer(_job_json(submission.stored, status=submission.status, answer=submission.answer))

    def _submit(self, call: Call, *, is_awaited: bool) -> Submission:
        return self._runner.submit(_job(call.fields), services=call.services, caller=call.caller, is_awaited=is_awaited)

    def _find(self, scope: Scope) -> StoredJob | None:
        return self._runner.find(scope["path_params"]["job"], caller=caller_of(scope))

    def _status(self, scope: Scope) -> Response:
        job = self._find(scope)
        if job is None:
            return _not_found(scope)
        answer = _job_json(job, status=job.status, answer=job.answer)
        self._runner.mark_delivered(job)
        return Response(answer, media_type="application/json")

    def _cancel(self, scope: Scope) -> Response:
        job = self._find(scope)
        if job is None:
            return _not_found(scope)
        self._runner.cancel(job)
        return json_response({"id": job.id, "status": job.status.value})

    def _stream(self, scope: Scope) -> Response:
        """No job here gives its answer in parts: a client that streams learns when it is over, and asks for it."""
        job = self._find(scope)
        if job is None:
            return _not_found(scope)
        return json_response({"status": job.status.value, "stream": []})

    def _purge(self, scope: Scope) -> Response:
        return json_response({"removed": self._runner.purge(caller_of(scope)), "status": "completed"})


def _forms(path: str) -> tuple[str, ...]:
    """The local server's path, the cloud's, and the cloud's below another base."""
    return path, f"/v2/{{endpoint}}{path}", f"/{{endpoint}}{path}"


def _job(fields: Mapping[str, Any]) -> dict[str, Any]:
    """What of a request's body is the job's. Raises `InvalidField`."""
    if not isinstance(fields.get("input"), dict):
        raise InvalidField(INPUT_FORM, param="input")
    if fields.get("webhook"):
        raise InvalidField(
            "No webhook is called here, so nobody would hear of this job. Leave 'webhook' out and ask for the job by "
            "`/status`.",
            param="webhook",
        )
    return {name: fields[name] for name in ("input", "policy") if fields.get(name) is not None}


def _wait_seconds(scope: Scope) -> float:
    """`?wait=`, in milliseconds, brought to what RunPod takes. Raises `InvalidField`."""
    given = parse_qs(scope["query_string"].decode("latin-1")).get("wait", [str(_DEFAULT_WAIT_MILLISECONDS)])[-1]
    if not (given.isascii() and given.isdigit()):
        raise InvalidField("'wait' has to be a whole number of milliseconds.", param="wait")
    milliseconds = _MAX_WAIT_MILLISECONDS if len(given) > 9 else int(given)
    return min(max(milliseconds, _MIN_WAIT_MILLISECONDS), _MAX_WAIT_MILLISECONDS) / 1000


def _job_json(job: StoredJob, *, status: JobStatus, answer: bytes) -> bytes:
    """RunPod's object of a job; times are in milliseconds."""
    parts = []
    if job.started is not None:
        parts.append(b'"delayTime":%d' % _milliseconds(job.submitted, job.started))
        if job.ended is not None:
            parts.append(b'"executionTime":%d' % _milliseconds(job.started, job.ended))
    parts.append(b'"id":%b' % orjson.dumps(job.id))
    if status is JobStatus.COMPLETED:
        parts.append(b'"output":%b' % answer)
    elif status in (JobStatus.FAILED, JobStatus.TIMED_OUT):
        parts.append(b'"error":%b' % answer)
    parts.append(b'"status":%b' % orjson.dumps(status.value))
    return b"{%b}" % b",".join(parts)


def _milliseconds(start: float, end: float) -> int:
    return round((end - start) * 1000)


def _as_failed(fault: Fault) -> dict[str, Any]:
    return {**failed(fault), "status": JobStatus.FAILED.value}


def _not_found(scope: Scope) -> Response:
    record_of(scope).error_code = _NOT_FOUND.code
    return json_response(_as_failed(_NOT_FOUND), status=_NOT_FOUND.status)


def _no_retry(_scope: Scope) -> Response:
    raise NotOffered("The inputs of jobs are not kept once they are over. Send the job again by `/run`.")


def start_job(body: RunPodJob) -> RunPodAccepted:  # type: ignore[empty-body]
    """Start a job, whose answer is asked for later by `/status`."""


def run_job(body: RunPodJob, wait: int = _DEFAULT_WAIT_MILLISECONDS) -> RunPodStatus:  # type: ignore[empty-body]
    """Run a job and wait for its answer, for so many milliseconds; after that it goes on as if started by `/run`."""


def job_status(job: str) -> RunPodStatus:  # type: ignore[empty-body]
    """What has come of the caller's own job."""


def job_status_by_post(job: str) -> RunPodStatus:  # type: ignore[empty-body]
    """As `GET /status/{job}`: the way of the runpod package's local server."""


def cancel_job(job: str) -> RunPodAccepted:  # type: ignore[empty-body]
    """Cancel the caller's own job, unless it is over."""


def stream_job(job: str) -> RunPodStream:  # type: ignore[empty-body]
    """How the job is doing; no answer comes in parts."""


def stream_job_by_post(job: str) -> RunPodStream:  # type: ignore[empty-body]
    """As `GET /stream/{job}`."""


def purge_queue() -> RunPodPurged:  # type: ignore[empty-body]
    """Cancel all jobs of the caller's that wait for their turn."""


def refuse_retry(job: str) -> RunPodAccepted:  # type: ignore[empty-body]
    """Not offered: a job's input is not kept. Send the job again."""
