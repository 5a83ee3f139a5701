"""Cohere's look at a model's tokenizer: its `/v1/tokenize` and the way back."""

from __future__ import annotations

from typing import Any

import orjson

from gateway.dialects.cohere_embed import meta
from gateway.dialects.endpoint import Answer, Call
from gateway.dialects.fields import model_name, required_text
from gateway.dialects.json_rows import written
from gateway.errors import InvalidField
from gateway.service.deadlines import before
from gateway.types import StageSeconds, Usage

_BYTES_PER_TOKEN = 16


async def tokenize(call: Call) -> Answer:
    """The answer of `POST /v1/tokenize`: the text's own tokens, without those that a model reads around it."""
    text = required_text(call.fields, "text", what="the text to tokenize")
    model = model_name(call.fields)
    async with before(call.deadline):
        work = call.services.tokenizer.tokenize((text,), model=model, special_tokens=False, side=None)
        [tokens] = await call.wait_for(work)
    _note(call, len(tokens))

    def make() -> bytes:
        body = {
            "tokens": [token.id for token in tokens],
            "token_strings": [token.text for token in tokens],
            "meta": meta("1", {}),
        }
        return orjson.dumps(body)

    return Answer(await written(make, expected_bytes=_BYTES_PER_TOKEN * len(tokens)))


async def detokenize(call: Call) -> Answer:
    """The answer of `POST /v1/detokenize`."""
    ids: Any = call.fields.get("tokens")
    if not isinstance(ids, list) or not all(type(token) is int for token in ids):
        raise InvalidField("'tokens' has to be a list of token ids.", param="tokens")
    model = model_name(call.fields)
    async with before(call.deadline):
        work = call.services.tokenizer.decode((ids,), model=model, skip_special_tokens=False)
        [text] = await call.wait_for(work)
    _note(call, len(ids))
    return Answer(orjson.dumps({"text": text, "meta": meta("1", {})}))


def _note(call: Call, tokens: int) -> None:
    call.note(model="", inputs=1, usage=Usage(tokens, tokens), stages=StageSeconds())
