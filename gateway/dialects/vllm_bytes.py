"""vLLM's answers in bytes: vectors as bare numbers, and a header that says where each one lies."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

from gateway.dialects.endpoint import Answer, Header
from gateway.dialects.fields import Fields, given, word
from gateway.dialects.json_rows import INLINE_BYTES
from gateway.errors import InvalidField
from gateway.types import EmbedResult, Float32Array
from gateway.vectors.packing import NumberType, Packing

ENCODING_FORMAT = "encoding_format"
EMBED_DTYPE = "embed_dtype"
ENDIANNESS = "endianness"

_BYTES, _BYTES_ONLY = "bytes", "bytes_only"
_LITTLE, _BIG = "little", "big"
# What is "native" to a server is little-endian here, whatever it runs on: it says so in its answer.
_BIG_ENDIAN = {"native": False, _LITTLE: False, _BIG: True}
# Each takes about 100 bytes of the header, and many clients read no line of more than 64 KB.
_MOST_DESCRIBED = 512
_BYTES_PER_NUMBER = 4


@dataclass(frozen=True, slots=True)
class BytesForm:
    """`described` is whether the header says where each vector lies."""

    packing: Packing
    described: bool

    def check_count(self, inputs: int) -> None:
        """Raises `InvalidField` for more inputs than a header can describe."""
        if self.described and inputs > _MOST_DESCRIBED:
            raise InvalidField(
                f"With '{ENCODING_FORMAT}' \"{_BYTES}\" a request may have {_MOST_DESCRIBED} inputs, because a header "
                f'describes each of them. Send fewer, or ask for "{_BYTES_ONLY}".',
                param=ENCODING_FORMAT,
            )


def bytes_form(fields: Fields, *other_names: str) -> BytesForm | None:
    """How vectors are wanted in bytes, or None where they are not: where `encoding_format` says so and none of its
    `other_names` says anything. Raises `InvalidField`."""
    asked = fields.get(ENCODING_FORMAT)
    form = asked.lower() if isinstance(asked, str) else None
    if form not in (_BYTES, _BYTES_ONLY) or (other_names and given(fields, *other_names, but_not="")[1] is not None):
        return None
    return BytesForm(packing_of(fields) or Packing(), described=form == _BYTES)


def packing_of(fields: Fields) -> Packing | None:
    """What values are written as, in bytes or base64; None where the request does not say. Raises `InvalidField`."""
    if EMBED_DTYPE not in fields and ENDIANNESS not in fields:
        return None
    kind, order = word(fields, EMBED_DTYPE), word(fields, ENDIANNESS)
    if kind is None and order is None:
        return None
    try:
        number = NumberType((kind or NumberType.FLOAT32.value).lower())
    except ValueError:
        known = ", ".join(one.value for one in NumberType)
        raise InvalidField(f"'{EMBED_DTYPE}' has to be one of {known}.", param=EMBED_DTYPE) from None
    is_big = _BIG_ENDIAN.get((order or _LITTLE).lower())
    if is_big is None:
        raise InvalidField(f"'{ENDIANNESS}' has to be one of {', '.join(_BIG_ENDIAN)}.", param=ENDIANNESS)
    return Packing(number, big_endian=is_big)


async def bytes_answer(
    result: EmbedResult, form: BytesForm, *, answer_id: str, headers: Sequence[Header] = ()
) -> Answer:
    """The vectors of `result` one after the other, in input order; of an input that has one a token, all of them. Large
    answers are made in a thread."""
    matrices = [result.vectors] if result.token_vectors is None else list(result.token_vectors)
    numbers = sum(one.size for one in matrices)
    if numbers * _BYTES_PER_NUMBER <= INLINE_BYTES:
        body = _packed(matrices, form.packing)
    else:
        body = await asyncio.to_thread(_packed, matrices, form.packing)
    own: list[Header] = [*headers]
    if form.described:
        own.append((b"metadata", _metadata(result, form.packing, body_bytes=len(body), answer_id=answer_id)))
    return Answer(body, warnings=result.warnings, headers=own, content_type=b"application/octet-stream")


def _packed(matrices: Sequence[Float32Array], packing: Packing) -> bytes:
    return b"".join([packing.bytes_of(one).tobytes() for one in matrices])


def _metadata(result: EmbedResult, packing: Packing, *, body_bytes: int, answer_id: str) -> bytes:
    if result.token_vectors is None:
        shapes: list[tuple[int, ...]] = [result.vectors.shape[1:]] * len(result.vectors)
    else:
        shapes = [vectors.shape for vectors in result.token_vectors]
    value_bytes = body_bytes // max(1, sum(map(prod, shapes)))
    items: list[dict[str, Any]] = []
    start = 0
    for index, shape in enumerate(shapes):
        end = start + prod(shape) * value_bytes
        order = _BIG if packing.big_endian else _LITTLE
        items.append(
            {
                "index": index,
                "embed_dtype": packing.kind.value,
                "endianness": order,
                "start": start,
                "end": end,
                "shape": list(shape),
            }
        )
        start = end
    usage = {"prompt_tokens": result.usage.prompt_tokens, "total_tokens": result.usage.total_tokens}
    about = {"id": answer_id, "created": int(time.time()), "model": result.model, "data": items, "usage": usage}
    # Of ASCII alone, which is what a header may hold.
    return json.dumps(about, separators=(",", ":")).encode("ascii")
