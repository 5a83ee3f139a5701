"""OpenAI's API as RunPod hands it on: the path below `/openai`, and the body, within a job's input."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

import orjson

from gateway.dialects.base import Services
from gateway.dialects.embeddings_request import parse_embeddings_call
from gateway.dialects.embeddings_response import encode_answer
from gateway.dialects.model_objects import model_object
from gateway.dialects.runpod_limits import JobLimits
from gateway.dialects.runpod_output_size import OutputBudget, embed_within
from gateway.errors import InvalidField

ROUTE, BODY = "openai_route", "openai_input"

_VERSION = "/v1"
_EMBEDDINGS, _MODELS = "/embeddings", "/models"


async def answer_route(
    fields: Mapping[str, Any], services: Services, limits: JobLimits, *, deadline: float, caller: str = ""
) -> Any:
    """The body of OpenAI's answer. Raises the errors of `gateway.errors`."""
    route = fields[ROUTE]
    path = route.partition("?")[0].rstrip("/").removeprefix(_VERSION) if isinstance(route, str) else ""
    if path == _EMBEDDINGS:
        return await _embeddings(fields.get(BODY), services, limits, deadline=deadline, caller=caller)
    if path == _MODELS:
        return {"object": "list", "data": [model_object(one, services.models) for one in services.models.list()]}
    if path.startswith(f"{_MODELS}/"):
        name = unquote(path.removeprefix(f"{_MODELS}/"))
        return model_object(services.models.resolve(name), services.models)
    raise InvalidField(
        "This worker answers /v1/embeddings and /v1/models of OpenAI's API, and no other path.",
        param=ROUTE,
        code="not_found",
    )


async def _embeddings(body: object, services: Services, limits: JobLimits, *, deadline: float, caller: str) -> Any:
    if not isinstance(body, dict):
        raise InvalidField('The request body has to be a JSON object such as {"input": "some text"}.', param=BODY)
    asked = parse_embeddings_call(body, vocabulary_header=None, limits=limits.inputs, deadline=deadline, caller=caller)
    result = await embed_within(asked, services, max_bytes=limits.max_output_bytes)
    answer = await encode_answer(result, asked.encodings)
    return await asyncio.to_thread(_parsed, answer, max_bytes=limits.max_output_bytes)


def _parsed(answer: bytes | memoryview, *, max_bytes: int) -> Any:
    """What is written again is what counts: `answer` may hold spaces and digits that are not needed."""
    parsed = orjson.loads(answer)
    OutputBudget(max_bytes).add(orjson.dumps(parsed))
    return parsed
