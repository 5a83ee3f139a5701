"""TEI's and vLLM's looks at a model's tokenizer: `/tokenize` is told apart by its field, and each has its own way back.

TEI sends `inputs` and decodes by `/decode`; vLLM sends `prompt` and decodes by `/detokenize`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from gateway.dialects.endpoint import Answer, Call
from gateway.dialects.fields import flag, kind_of, model_name, required_text, word
from gateway.dialects.inputs import read_text_list
from gateway.dialects.json_rows import json_list, written
from gateway.dialects.tei_fields import EMPTY
from gateway.errors import InvalidField, TooManyInputs
from gateway.service.deadlines import before
from gateway.types import StageSeconds, TextToken, Usage

VLLM = "vllm"
"""The dialect's name, for its part of these paths."""

_VLLM_FIELDS = ("prompt", "messages")
_BYTES_PER_TOKEN = 64
_BYTES_PER_ID = 8


async def tokenize(call: Call) -> Answer:
    """The answer of `POST /tokenize`, in the shape of whose field it has."""
    value = call.fields.get("inputs")
    if value is None and any(call.fields.get(name) is not None for name in _VLLM_FIELDS):
        call.speak(VLLM)
        return await _tokenize_prompt(call)
    if value == []:
        raise InvalidField("`inputs` cannot be empty. Give at least one text.", param="inputs", code=EMPTY)
    texts = (
        (value,)
        if isinstance(value, str)
        else read_text_list(value, name="inputs", max_inputs=call.limits.inputs.max_inputs)
    )
    rows = await _tokens(call, texts)
    count = sum(map(len, rows))
    return Answer(
        await written(
            lambda: b"[%b]" % b",".join([json_list(map(_described, row)) for row in rows]),
            expected_bytes=_BYTES_PER_TOKEN * count,
        )
    )


async def _tokenize_prompt(call: Call) -> Answer:
    if call.fields.get("prompt") is None:
        raise InvalidField(
            "'messages' are not tokenized: the models here put no conversations into words of their own. Send each "
            "text as 'prompt'.",
            param="messages",
        )
    prompt = required_text(call.fields, "prompt", what="the text to tokenize")
    [row] = await _tokens(call, (prompt,))
    max_tokens = call.services.models.resolve(model_name(call.fields)).max_tokens
    wants_texts = flag(call.fields, "return_token_strs", default=False)

    def make() -> bytes:
        body: dict[str, Any] = {
            "count": len(row),
            "max_model_len": max_tokens,
            "tokens": [token.id for token in row],
            "token_strs": [token.text for token in row] if wants_texts else None,
        }
        return orjson.dumps(body)

    return Answer(await written(make, expected_bytes=_BYTES_PER_ID * len(row)))


async def _tokens(call: Call, texts: Sequence[str]) -> Sequence[Sequence[TextToken]]:
    async with before(call.deadline):
        work = call.services.tokenizer.tokenize(
            texts,
            model=model_name(call.fields),
            special_tokens=flag(call.fields, "add_special_tokens", default=True),
            side=word(call.fields, "prompt_name"),
        )
        rows = await call.wait_for(work)
    _note(call, inputs=len(texts), tokens=sum(map(len, rows)))
    return rows


def _described(token: TextToken) -> dict[str, Any]:
    return {
        "id": token.id,
        "text": token.text,
        "special": token.special,
        "start": token.start,
        "stop": token.stop,
    }


async def decode(call: Call) -> Answer:
    """The answer of `POST /decode`: a list of texts, whether one row of ids was sent or several."""
    rows = _rows(call.fields.get("ids"), name="ids", max_inputs=call.limits.inputs.max_inputs)
    texts = await _decoded(call, rows, skip_special_tokens=flag(call.fields, "skip_special_tokens", default=True))
    return Answer(await written(lambda: json_list(texts), expected_bytes=sum(map(len, texts))))


async def detokenize(call: Call) -> Answer:
    """The answer of `POST /detokenize`, which is vLLM's alone."""
    call.speak(VLLM)
    rows = _rows(call.fields.get("tokens"), name="tokens", max_inputs=1)
    [text] = await _decoded(call, rows, skip_special_tokens=False)
    return Answer(orjson.dumps({"prompt": text}))


async def _decoded(call: Call, rows: Sequence[Sequence[int]], *, skip_special_tokens: bool) -> Sequence[str]:
    async with before(call.deadline):
        work = call.services.tokenizer.decode(
            rows, model=model_name(call.fields), skip_special_tokens=skip_special_tokens
        )
        texts = await call.wait_for(work)
    _note(call, inputs=len(rows), tokens=sum(map(len, rows)))
    return texts


def _rows(value: Any, *, name: str, max_inputs: int) -> list[list[int]]:
    """One row of ids, or several. Raises `InvalidField`, `TooManyInputs`."""
    if value == []:
        raise InvalidField(f"`{name}` cannot be empty. Give at least one token id.", param=name, code=EMPTY)
    rows = value if isinstance(value, list) and isinstance(value[0], list) else [value]
    if len(rows) > max_inputs:
        raise TooManyInputs(f"batch size {len(rows)} > maximum allowed batch size {max_inputs}", param=name)
    for row in rows:
        if not isinstance(row, list) or not all(type(token) is int for token in row):
            raise InvalidField(
                f"'{name}' has to be a list of token ids"
                f"{', or a list of such lists' if max_inputs > 1 else ''}, and what it holds is "
                f"{'something else' if isinstance(row, list) else kind_of(row)}.",
                param=name,
            )
    return rows


def _note(call: Call, *, inputs: int, tokens: int) -> None:
    call.note(model="", inputs=inputs, usage=Usage(tokens, tokens), stages=StageSeconds())
