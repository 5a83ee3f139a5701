"""TEI's embedding calls: vectors for inputs, for each token of them, and how alike sentences are."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import orjson

from gateway.dialects.embeddings_request import TASK_NAMES, VOCABULARY_HEADER, stated_vocabulary
from gateway.dialects.endpoint import Answer, Call
from gateway.dialects.fields import Fields, flag, kind_of, model_name, required_text, whole_number, word
from gateway.dialects.inputs import InputLimits, read_inputs, read_text_list
from gateway.dialects.json_rows import json_list_pieces, json_vectors, written
from gateway.dialects.tei_fields import EMPTY, compute_headers, overflow
from gateway.errors import InvalidField, TooManyInputs
from gateway.types import EmbedRequest, EmbedResult, Input, TextInput, TokenInput, Vocabulary
from gateway.vectors.encoders import float_rows

INPUTS = "inputs"

_BYTES_PER_NUMBER = 12
_TOKENS_AT_ONCE = 32


async def embed(call: Call) -> Answer:
    """The answer of `POST /embed`: a list of vectors, whether one input was sent or several."""
    started = time.monotonic()
    inputs, fields = _inputs(call), with_parameters(call.fields)
    result = await _embedded(
        call,
        inputs,
        dimensions=whole_number(fields, "dimensions", minimum=1, otherwise="Leave it out for the model's own size."),
        normalised=flag(fields, "normalize", default=True),
    )
    body = await written(lambda: json_vectors(result.vectors), expected_bytes=_BYTES_PER_NUMBER * result.vectors.size)
    return Answer(body, warnings=result.warnings, headers=_headers(inputs, result, started=started))


async def embed_all(call: Call) -> Answer:
    """The answer of `POST /embed_all`: for each input the vectors of its tokens, each of unit length."""
    started = time.monotonic()
    inputs = _inputs(call)
    result = await _embedded(call, inputs, multi_vector=True)
    token_vectors = result.token_vectors or ()

    def make() -> bytes:
        pieces = [
            b"".join(json_list_pieces(float_rows(vectors), rows_at_once=_TOKENS_AT_ONCE)) for vectors in token_vectors
        ]
        return b"[%b]" % b",".join(pieces)

    numbers = sum(vectors.size for vectors in token_vectors)
    body = await written(make, expected_bytes=_BYTES_PER_NUMBER * numbers)
    return Answer(body, warnings=result.warnings, headers=_headers(inputs, result, started=started))


async def similarity(call: Call) -> Answer:
    """The answer of `POST /similarity`: the cosine of one sentence with each of the others."""
    started = time.monotonic()
    given = _object(call.fields, INPUTS)
    source = required_text(given, "source_sentence", what="the sentence to compare the others with")
    if given.get("sentences") == []:
        raise InvalidField("`inputs.sentences` cannot be empty. Give at least one.", param=INPUTS, code=EMPTY)
    sentences = read_text_list(given.get("sentences"), name="sentences", max_inputs=call.limits.inputs.max_inputs - 1)
    inputs = tuple(map(TextInput, (source, *sentences)))
    result = await _embedded(call, inputs)
    cosines = result.vectors[1:].astype(np.float64) @ result.vectors[0].astype(np.float64)
    body = orjson.dumps(cosines, None, orjson.OPT_SERIALIZE_NUMPY)
    return Answer(body, warnings=result.warnings, headers=_headers(inputs, result, started=started))


def _inputs(call: Call) -> tuple[Input, ...]:
    """Texts and lists of ids in any mixture; a flat list of ids is one input. They are of the model's own vocabulary,
    as TEI's are, unless the request says otherwise. Raises `InvalidField`, `TooManyInputs`."""
    value, most = call.fields.get(INPUTS), call.limits.inputs.max_inputs
    if value == []:
        raise InvalidField("`inputs` cannot be empty. Give at least one text.", param=INPUTS, code=EMPTY)
    if isinstance(value, str):
        return (TextInput(value),)
    vocabulary = stated_vocabulary(call.fields, header=call.header(VOCABULARY_HEADER)) or Vocabulary.MODEL
    if not isinstance(value, list) or type(value[0]) is int:
        return _only_texts_and_ids(read_inputs(value, name=INPUTS, vocabulary=vocabulary, limits=call.limits.inputs))
    if len(value) > most:
        raise TooManyInputs(f"batch size {len(value)} > maximum allowed batch size {most}", param=INPUTS)
    limits = call.limits.inputs
    return tuple(
        _input(item, f"{INPUTS}[{index}]", vocabulary=vocabulary, limits=limits) for index, item in enumerate(value)
    )


def _input(item: Any, name: str, *, vocabulary: Vocabulary, limits: InputLimits) -> Input:
    if isinstance(item, str):
        return TextInput(item)
    if isinstance(item, list) and item and all(type(token) is int for token in item):
        [ids] = read_inputs(item, name=name, vocabulary=vocabulary, limits=limits)
        return ids
    raise InvalidField(f"'{name}' has to be a string or a list of token ids, not {kind_of(item)}.", param=INPUTS)


def _only_texts_and_ids(inputs: tuple[Input, ...]) -> tuple[Input, ...]:
    if not all(isinstance(item, TextInput | TokenInput) for item in inputs):
        raise InvalidField("'inputs' has to hold texts or token ids here.", param=INPUTS)
    return inputs


async def _embedded(
    call: Call,
    inputs: tuple[Input, ...],
    *,
    dimensions: int | None = None,
    normalised: bool = True,
    multi_vector: bool = False,
) -> EmbedResult:
    fields = with_parameters(call.fields)
    request = EmbedRequest(
        inputs=inputs,
        deadline=call.deadline,
        model=model_name(fields),
        dimensions=dimensions,
        overflow=overflow(fields),
        task=word(fields, *TASK_NAMES),
        side=word(fields, "prompt_name", "input_type"),
        normalised=normalised,
        multi_vector=multi_vector,
        texts_only=True,
        caller=call.caller,
    )
    result = await call.wait_for(call.services.embedder.embed(request))
    call.note(model=result.model, inputs=len(inputs), usage=result.usage, stages=result.stages)
    return result


def with_parameters(fields: Fields) -> Fields:
    """The fields with those of `parameters` among them, where Hugging Face's own client and `/similarity` have them.
    A field that is null is not given, and leaves the word to the one in there."""
    parameters = fields.get("parameters")
    if not isinstance(parameters, dict):
        return fields
    return parameters | {name: value for name, value in fields.items() if value is not None}


def _object(fields: Fields, name: str) -> Mapping[str, Any]:
    value = fields.get(name)
    if not isinstance(value, dict):
        raise InvalidField(
            f"'{name}' has to be an object with 'source_sentence' and 'sentences', not {kind_of(value)}.", param=name
        )
    return value


def _headers(inputs: tuple[Input, ...], result: EmbedResult, *, started: float) -> list[tuple[bytes, bytes]]:
    characters = sum(len(item.text) for item in inputs if isinstance(item, TextInput))
    return compute_headers(
        characters=characters, usage=result.usage, stages=result.stages, seconds=time.monotonic() - started
    )
