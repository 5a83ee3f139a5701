"""From a RunPod job to its answer: the input is told apart, worked on by the services, and every fault is put in words.

Nothing raises out of here: the runpod package would hand a traceback to the caller.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import structlog

from gateway.cards.schema import ModelKind
from gateway.dialects.base import Services
from gateway.dialects.embeddings_request import parse_embeddings_call
from gateway.dialects.faults import Fault
from gateway.dialects.fields import flag
from gateway.dialects.rerank_request import parse_rerank_call
from gateway.errors import EngineUnavailable, InvalidField, UnknownModel
from gateway.dialects.runpod_embeddings import embeddings_output
from gateway.dialects.runpod_faults import failed, job_fault, openai_error
from gateway.dialects.runpod_limits import Job, JobLimits
from gateway.dialects.runpod_openai import ROUTE, answer_route
from gateway.dialects.runpod_output_size import embed_within
from gateway.dialects.runpod_ranking import ranking_output
from gateway.types import Usage

# Of bare texts nobody knows what else was said: what stood beside them never got here.
_INPUT_FORM = (
    'A job\'s "input" has to be an object that has an "input" of its own: {"input": {"input": ["some text"]}}. '
    "The runpod client adds the outer one only to what has none."
)


_RETRY_SECONDS = 0.2


@dataclass(slots=True)
class _Done:
    """One job's facts for its log line; never its content."""

    kind: str = "none"
    model: str = ""
    inputs: int = 0
    tokens: int = 0
    started: float = field(default_factory=time.perf_counter)

    def note(self, *, model: str, inputs: int, usage: Usage) -> None:
        self.model, self.inputs, self.tokens = model, inputs, usage.total_tokens


class JobHandler:
    """Answers jobs, any number at the same time, in the event loop that the services run in."""

    def __init__(self, services: Services, limits: JobLimits) -> None:
        self._services = services
        self._limits = limits
        self._log = structlog.get_logger("gateway.runpod")

    async def answer(self, job: Job) -> dict[str, Any]:
        """The handler's answer: the output, or `{"error": ...}`, which makes the job FAILED."""
        done = _Done()
        deadline = time.monotonic() + self._limits.seconds_for(job)
        fields = job.get("input")
        is_openai = isinstance(fields, dict) and ROUTE in fields
        try:
            output = await self._patiently(fields, done, deadline=deadline)
        except Exception as error:  # noqa: BLE001
            # The edge: whatever a job ran into, its caller gets a sentence and the next job its turn.
            fault = job_fault(error, job_id=job.get("id"))
            self._tell(job, done, fault, error)
            return openai_error(fault) if is_openai else failed(fault)
        self._tell(job, done)
        return output

    async def _patiently(self, fields: object, done: _Done, *, deadline: float) -> dict[str, Any]:
        """While Triton is away a job waits as long as it may take: unlike an HTTP client nobody would send it again."""
        while True:
            try:
                return await self._output(fields, done, deadline=deadline)
            except EngineUnavailable:
                if time.monotonic() + _RETRY_SECONDS > deadline:
                    raise
            await asyncio.sleep(_RETRY_SECONDS)

    async def _output(self, fields: object, done: _Done, *, deadline: float) -> dict[str, Any]:
        if not isinstance(fields, dict):
            raise InvalidField(_INPUT_FORM, param="input")
        if ROUTE in fields:
            done.kind = "openai"
            body: dict[str, Any] = await answer_route(fields, self._services, self._limits, deadline=deadline)
            return body
        if fields.get("query") is not None:
            done.kind = "rerank"
            return await self._ranking(fields, done, deadline=deadline)
        done.kind = "embeddings"
        return await self._embeddings(fields, done, deadline=deadline)

    async def _embeddings(self, fields: Mapping[str, Any], done: _Done, *, deadline: float) -> dict[str, Any]:
        call = parse_embeddings_call(fields, vocabulary_header=None, limits=self._limits.inputs, deadline=deadline)
        result = await embed_within(call, self._services, max_bytes=self._limits.max_output_bytes)
        done.note(model=result.model, inputs=len(call.request.inputs), usage=result.usage)
        return await asyncio.to_thread(
            embeddings_output,
            result,
            call.encodings,
            model=self._name_in_answer(call.request.model, result.model),
            max_bytes=self._limits.max_output_bytes,
        )

    def _name_in_answer(self, asked: str | None, used: str) -> str:
        """A model that also answers to a shared name, as one merged task does to the whole model's, answers under it
        unless it was called by a name of its own."""
        shared = self._services.models.resolve(used).model.shared_aliases
        called = next(iter(shared), used) if asked is None else asked
        known = next((alias for alias in shared if alias.lower() == called.lower()), used)
        return known.rpartition("/")[2]

    async def _ranking(self, fields: Mapping[str, Any], done: _Done, *, deadline: float) -> dict[str, Any]:
        call = parse_rerank_call(fields, max_inputs=self._limits.inputs.max_inputs, deadline=deadline)
        self._check_reranker()
        with_documents = flag(fields, "return_docs", "return_documents", default=False)
        result = await self._services.reranker.rerank(call.request)
        done.note(model=result.model, inputs=len(call.request.documents), usage=result.usage)
        return ranking_output(result, call, with_documents=with_documents, max_bytes=self._limits.max_output_bytes)

    def _check_reranker(self) -> None:
        """Raises `UnknownModel` where none is served: a worker's remedy is not the one that the service knows of."""
        if not any(listing.model.card.kind is ModelKind.RERANKER for listing in self._services.models.list()):
            raise UnknownModel(
                "No reranker is served. Set RERANKER_MODEL_ID in the worker's environment to one, such as "
                "jina-reranker-v2-base-multilingual."
            )

    def _tell(self, job: Job, done: _Done, fault: Fault | None = None, error: Exception | None = None) -> None:
        facts: dict[str, Any] = {
            "job": str(job.get("id"))[:64],
            "kind": done.kind,
            "status": fault.status if fault else 200,
            "milliseconds": round((time.perf_counter() - done.started) * 1000, 2),
        }
        if done.model:
            facts |= {"model": done.model, "inputs": done.inputs, "tokens": done.tokens}
        if fault is None:
            self._log.info("job", **facts)
        elif fault.status == 500:
            self._log.error("job", code=fault.code, exc_info=error, **facts)
        else:
            self._log.info("job", code=fault.code, **facts)
