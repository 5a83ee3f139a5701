"""Answers an embeddings request of OpenAI's form, on whichever path it came: OpenAI's own and Azure's."""

from __future__ import annotations

from gateway.dialects.embeddings_request import ENCODING_NAMES, VOCABULARY_HEADER, parse_embeddings_call
from gateway.dialects.embeddings_response import encode_answer
from gateway.dialects.endpoint import Answer, Call
from gateway.dialects.vllm_bytes import ENCODING_FORMAT, bytes_answer, bytes_form, packing_of

_VERSION_HEADER = (b"openai-version", b"2020-10-01")
_OTHER_ENCODING_NAMES = tuple(name for name in ENCODING_NAMES if name != ENCODING_FORMAT)


async def answer_embeddings(call: Call) -> Answer:
    """The vectors that `call` asks for, in JSON or, where vLLM's words ask for it, in bytes."""
    form = bytes_form(call.fields, *_OTHER_ENCODING_NAMES)
    fields = call.fields if form is None else call.fields | {ENCODING_FORMAT: None}
    asked = parse_embeddings_call(
        fields,
        vocabulary_header=call.header(VOCABULARY_HEADER),
        limits=call.limits.inputs,
        deadline=call.deadline,
        caller=call.caller,
    )
    if form is not None:
        form.check_count(len(asked.request.inputs))
    packing = packing_of(fields)
    result = await call.wait_for(call.services.embedder.embed(asked.request))
    call.note(model=result.model, inputs=len(asked.request.inputs), usage=result.usage, stages=result.stages)
    if form is not None:
        return await bytes_answer(result, form, answer_id=f"embd-{call.request_id}", headers=(_VERSION_HEADER,))
    body = await encode_answer(result, asked.encodings, packing=packing)
    return Answer(body, warnings=result.warnings, headers=(_VERSION_HEADER,))
