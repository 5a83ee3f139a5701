"""From a RunPod job to its answer: the input is told apart, worked on by the services, and every fault is put in words.

Nothing raises out of here: the runpod package would hand a traceback to the caller.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import structlog

from gateway.cards.schema import ModelKind
from gateway.dialects.base import Services
from gateway.dialects.embeddings_request import parse_embeddings_call
from gateway.dialects.faults import Fault
from gateway.dialects.fields import flag
from gateway.dialects.rerank_request import parse_rerank_call
from gateway.dialects.runpod_embeddings import embeddings_json
from gateway.dialects.runpod_faults import failed, job_fault, openai_error
from gateway.dialects.runpod_limits import Job, JobLimits
from gateway.dialects.runpod_openai import ROUTE, answer_route
from gateway.dialects.runpod_outcome import JobFacts, JobOutcome, JobOutput
from gateway.dialects.runpod_output_size import embed_within
from gateway.dialects.runpod_ranking import ranking_output
from gateway.errors import EngineUnavailable, InvalidField, NotServing, Overloaded, UnknownModel

# Of bare texts nobody knows what else was said: what stood beside them never got here.
INPUT_FORM = (
    'A job\'s "input" has to be an object that has an "input" of its own: {"input": {"input": ["some text"]}}. '
    "The runpod client adds the outer one only to what has none."
)


_RETRY_SECONDS = 0.2
# Reading more JSON than this would hold up the event loop for longer than handing it to a thread takes.
_INLINE_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class _Asked:
    """A job's input, whose it is, and until when it is to be answered: a reading of `time.monotonic()`."""

    fields: object
    caller: str
    deadline: float


class JobHandler:
    """Answers jobs, any number at the same time, in the event loop that the services run in."""

    def __init__(self, services: Services, limits: JobLimits) -> None:
        self._services = services
        self._limits = limits
        self._log = structlog.get_logger("gateway.runpod")

    async def answer(self, job: Job) -> dict[str, Any]:
        """The handler's answer: the output, or `{"error": ...}`, which makes the job FAILED."""
        outcome = await self.outcome(job)
        if outcome.output is None:
            assert outcome.fault is not None
            return failed(outcome.fault)
        if len(outcome.output.text or b"") <= _INLINE_BYTES:
            return outcome.output.as_value()
        return await asyncio.to_thread(outcome.output.as_value)

    async def outcome(
        self,
        job: Job,
        *,
        caller: str = "",
        waits_for: tuple[type[NotServing], ...] = (EngineUnavailable,),
    ) -> JobOutcome:
        """What came of a job. `caller` is an opaque name for whose it is; a job that meets one of `waits_for` is tried
        again until its time is over."""
        facts = JobFacts()
        asked = _Asked(job.get("input"), caller, deadline=time.monotonic() + self._limits.seconds_for(job))
        is_openai = isinstance(asked.fields, dict) and ROUTE in asked.fields
        try:
            output = await self._patiently(asked, facts, waits_for)
        except Exception as error:  # noqa: BLE001
            # The edge: whatever a job ran into, its caller gets a sentence and the next job its turn.
            fault = job_fault(error, job_id=job.get("id"))
            self._tell(job, facts, fault, error)
            return JobOutcome(facts, JobOutput(value=openai_error(fault)) if is_openai else None, fault)
        self._tell(job, facts)
        return JobOutcome(facts, output)

    async def _patiently(self, asked: _Asked, facts: JobFacts, waits_for: tuple[type[NotServing], ...]) -> JobOutput:
        """While Triton is away a job waits as long as it may take: unlike an HTTP client nobody would send it again."""
        while True:
            try:
                return await self._output(asked, facts)
            except waits_for as error:
                pause_seconds = error.retry_after_seconds if isinstance(error, Overloaded) else _RETRY_SECONDS
                if time.monotonic() + pause_seconds > asked.deadline:
                    raise
            await asyncio.sleep(pause_seconds)

    async def _output(self, asked: _Asked, facts: JobFacts) -> JobOutput:
        fields = asked.fields
        if not isinstance(fields, dict):
            raise InvalidField(INPUT_FORM, param="input")
        if ROUTE in fields:
            facts.kind = "openai"
            return JobOutput(
                value=await answer_route(
                    fields, self._services, self._limits, deadline=asked.deadline, caller=asked.caller
                )
            )
        if fields.get("query") is not None:
            facts.kind = "rerank"
            return await self._ranking(fields, asked, facts)
        facts.kind = "embeddings"
        return await self._embeddings(fields, asked, facts)

    async def _embeddings(self, fields: Mapping[str, Any], asked: _Asked, facts: JobFacts) -> JobOutput:
        call = parse_embeddings_call(
            fields,
            vocabulary_header=None,
            limits=self._limits.inputs,
            deadline=asked.deadline,
            caller=asked.caller,
        )
        result = await embed_within(call, self._services, max_bytes=self._limits.max_output_bytes)
        facts.note(model=result.model, inputs=len(call.request.inputs), usage=result.usage, stages=result.stages)
        text = await asyncio.to_thread(
            embeddings_json,
            result,
            call.encodings,
            model=self._name_in_answer(call.request.model, result.model),
            max_bytes=self._limits.max_output_bytes,
        )
        return JobOutput(text=text)

    def _name_in_answer(self, asked: str | None, used: str) -> str:
        """A model that also answers to a shared name, as one merged task does to the whole model's, answers under it
        unless it was called by a name of its own."""
        shared = self._services.models.resolve(used).model.shared_aliases
        called = next(iter(shared), used) if asked is None else asked
        known = next((alias for alias in shared if alias.lower() == called.lower()), used)
        return known.rpartition("/")[2]

    async def _ranking(self, fields: Mapping[str, Any], asked: _Asked, facts: JobFacts) -> JobOutput:
        call = parse_rerank_call(
            fields, max_inputs=self._limits.inputs.max_inputs, deadline=asked.deadline, caller=asked.caller
        )
        self._check_reranker()
        with_documents = flag(fields, "return_docs", "return_documents", default=False)
        result = await self._services.reranker.rerank(call.request)
        facts.note(model=result.model, inputs=len(call.request.documents), usage=result.usage, stages=result.stages)
        return JobOutput(
            value=ranking_output(result, call, with_documents=with_documents, max_bytes=self._limits.max_output_bytes)
        )

    def _check_reranker(self) -> None:
        """Raises `UnknownModel` where none is served: a worker's remedy is not the one that the service knows of."""
        if not any(listing.model.card.kind is ModelKind.RERANKER for listing in self._services.models.list()):
            raise UnknownModel(
                "No reranker is served. Set RERANKER_MODEL_ID in the worker's environment to one, such as "
                "jina-reranker-v2-base-multilingual."
            )

    def _tell(self, job: Job, facts: JobFacts, fault: Fault | None = None, error: Exception | None = None) -> None:
        told: dict[str, Any] = {
            "job": str(job.get("id"))[:64],
            "kind": facts.kind,
            "status": fault.status if fault else 200,
            "milliseconds": round((time.perf_counter() - facts.started) * 1000, 2),
        }
        if facts.model:
            told |= {"model": facts.model, "inputs": facts.inputs, "tokens": facts.usage.total_tokens}
        if fault is None:
            self._log.info("job", **told)
        elif fault.status == 500:
            self._log.error("job", code=fault.code, exc_info=error, **told)
        else:
            self._log.info("job", code=fault.code, **told)
