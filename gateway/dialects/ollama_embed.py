"""Ollama's embedding calls: checks a request by hand and writes the vectors with Ollama's durations and counts."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import orjson

from gateway.dialects.embeddings_request import SIDE_NAMES, TASK_NAMES
from gateway.dialects.endpoint import Answer, Call
from gateway.dialects.fields import Fields, flag, given, kind_of, word
from gateway.dialects.json_rows import json_vectors, written
from gateway.dialects.rerank_request import parse_rerank_call
from gateway.dialects.rerank_response import encode_ranking
from gateway.errors import EngineUnavailable, InvalidField, TooManyInputs, UnknownModel
from gateway.types import EmbedRequest, EmbedResult, Overflow, TextInput
from gateway.vectors.encoders import float_rows

_INPUT_NAMES = ("input", "prompt")
_PROMPT_NAMES = ("prompt", "input")
_BYTES_PER_NUMBER = 12


async def embed(call: Call) -> Answer:
    """The answer of `POST /api/embed`: vectors of unit length, and none for nothing, by which clients load a model."""
    started = time.monotonic_ns()
    name = model_name(call.fields)
    with unknown_as_ollama(name):
        texts = _texts(call.fields, max_inputs=call.limits.inputs.max_inputs)
        if not texts:
            listing = call.services.models.resolve(name)
            return Answer(orjson.dumps({"model": name or listing.model.name, "embeddings": []}))
        result = await _embedded(call, name, texts)
    head = {"model": name or result.model}
    return Answer(await _encoded(head, result, started=started), warnings=result.warnings)


async def embed_one(call: Call) -> Answer:
    """The answer of `POST /api/embeddings`, which Ollama keeps for old clients: one vector. Ollama leaves it as long as
    the model made it; here it has unit length as everywhere."""
    name = model_name(call.fields)
    field, text = given(call.fields, *_PROMPT_NAMES)
    if text is not None and not isinstance(text, str):
        raise InvalidField(f"'{field}' has to be a string, not {kind_of(text)}.", param=field)
    with unknown_as_ollama(name):
        if not text:
            call.services.models.resolve(name)
            return Answer(b'{"embedding":[]}')
        result = await _embedded(call, name, (text,))
    [vector] = float_rows(result.vectors)
    body = b'{"embedding":%b}' % orjson.dumps(vector, None, orjson.OPT_SERIALIZE_NUMPY)
    return Answer(body, warnings=result.warnings)


async def rerank(call: Call) -> Answer:
    """The answer of `POST /api/rerank`, which Ollama itself has not: what Jina's API gives."""
    asked = parse_rerank_call(
        call.fields, max_inputs=call.limits.inputs.max_inputs, deadline=call.deadline, caller=call.caller
    )
    with unknown_as_ollama(asked.request.model):
        result = await call.wait_for(call.services.reranker.rerank(asked.request))
    call.note(model=result.model, inputs=len(result.scores), usage=result.usage, stages=result.stages)
    return Answer(await encode_ranking(result, asked, request_id=call.request_id))


def model_name(fields: Fields) -> str | None:
    """The model named, by `model` or as old clients do by `name`; None for the default one. Raises `InvalidField`."""
    return word(fields, "model", "name")


@contextmanager
def unknown_as_ollama(name: str | None) -> Iterator[None]:
    """Puts a model that is not there as Ollama does: clients look for these words."""
    try:
        yield
    except UnknownModel as error:
        found = f'model "{name[:200]}" not found, try pulling it first. ' if name else ""
        raise UnknownModel(found + error.message, code=error.code) from None


def _texts(fields: Fields, *, max_inputs: int) -> tuple[str, ...]:
    """None for a missing or empty input. Raises `InvalidField`, `TooManyInputs`."""
    name, value = given(fields, *_INPUT_NAMES)
    if value is None or value == "":
        return ()
    items = [value] if isinstance(value, str) else value
    if not isinstance(items, list) or not all(isinstance(item, str) for item in items):
        raise InvalidField(f"invalid input type: '{name}' has to be a string or a list of strings.", param=name)
    if len(items) > max_inputs:
        raise TooManyInputs(
            f"'{name}' has {len(items)} items and the limit is {max_inputs}. Send them in several requests.", param=name
        )
    return tuple(items)


async def _embedded(call: Call, name: str | None, texts: tuple[str, ...]) -> EmbedResult:
    fields = call.fields
    options = _options(fields)
    request = EmbedRequest(
        inputs=tuple(map(TextInput, texts)),
        deadline=call.deadline,
        model=name,
        dimensions=_dimensions(call, name),
        overflow=Overflow.TRUNCATE if flag(fields, "truncate", default=True) else Overflow.REFUSE,
        task=word(fields, *TASK_NAMES) or word(options, *TASK_NAMES),
        side=word(fields, *SIDE_NAMES) or word(options, *SIDE_NAMES),
        caller=call.caller,
    )
    result = await call.wait_for(call.services.embedder.embed(request))
    call.note(model=result.model, inputs=len(texts), usage=result.usage, stages=result.stages)
    return result


def _options(fields: Fields) -> Mapping[str, Any]:
    """Settings of a model's runner, of which only a task means something here. Raises `InvalidField`."""
    options = fields.get("options")
    if options is None:
        return {}
    if not isinstance(options, dict):
        raise InvalidField(f"'options' has to be an object, not {kind_of(options)}.", param="options")
    return options


def _dimensions(call: Call, name: str | None) -> int | None:
    """The size to cut vectors to. As in Ollama a size that is none, or not below the model's own, asks for nothing."""
    wanted = call.fields.get("dimensions")
    if wanted is None:
        return None
    if type(wanted) is not int:
        raise InvalidField(f"'dimensions' has to be an integer, not {kind_of(wanted)}.", param="dimensions")
    native = wanted
    with suppress(UnknownModel, EngineUnavailable):  # whoever embeds says what about it
        vectors = call.services.models.resolve(name).model.card.vectors
        native = vectors.dimensions if vectors is not None else wanted + 1
    return wanted if 0 < wanted < native else None


async def _encoded(head: dict[str, str], result: EmbedResult, *, started: int) -> bytes:
    """`head`, the vectors, and what it took; zeros are left out, as Ollama's are."""
    before_model = result.stages.images + result.stages.tokenize
    counts = {
        "total_duration": time.monotonic_ns() - started,
        "load_duration": round(before_model * 1e9),
        "prompt_eval_count": result.usage.prompt_tokens,
    }
    tail = orjson.dumps({name: count for name, count in counts.items() if count})

    def make() -> bytes:
        rows = json_vectors(result.vectors)
        return b'%b,"embeddings":%b,%b' % (orjson.dumps(head)[:-1], rows, tail[1:])

    return await written(make, expected_bytes=_BYTES_PER_NUMBER * result.vectors.size)
