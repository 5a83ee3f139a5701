"""A request's inputs as the parts of one document: tokenized once, each part with its own tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from gateway.errors import InvalidField
from gateway.text.joining import join
from gateway.text.limits import INPUT_FIELD
from gateway.text.reading import InputReader
from gateway.text.spans import part_spans
from gateway.text.tokenizer import OffsetTokens, check_text
from gateway.types import ImageInput, Input, Int64Array


@dataclass(frozen=True, slots=True)
class Document:
    """`ids` is int64 [tokens], special tokens and prefix included, of any length. `spans` is int64 [parts, 2]: the
    [start, end) of each part's tokens, at least one."""

    ids: Int64Array
    spans: Int64Array


async def document_parts(reader: InputReader, inputs: Sequence[Input]) -> list[str]:
    """The texts of a document's parts.

    Raises `InvalidField` for an input that cannot be one: an image, ids in the model's own vocabulary, or no text.
    """
    parts = []
    for index, text in enumerate(await reader.texts(inputs)):
        if isinstance(inputs[index], ImageInput):
            raise InvalidField(
                f"'{INPUT_FIELD}[{index}]' is an image. With late chunking all inputs are parts of one text: please "
                "send images in a request of their own, without 'late_chunking'.",
                param=INPUT_FIELD,
                code="unsupported_modality",
            )
        if text is None:
            raise InvalidField(
                f"Input {index} is token ids of the model's own vocabulary. With late chunking inputs are tokenized "
                "together, as one document: please send text.",
                param=INPUT_FIELD,
                code="token_ids_refused",
            )
        check_text(text, index=index, strict_empty=False)
        if not text or text.isspace():
            raise _without_text(index, "is empty or nothing but white space")
        parts.append(text)
    return parts


async def read_document(reader: InputReader, parts: Sequence[str], *, prefix: str) -> Document:
    """The tokens of `prefix` and the parts together, and of each part.

    `parts` is what `document_parts` gave. Raises `TokenLimitExceeded` where they are more than a request may have, with
    no more read than it takes to know, and `InvalidField` for a part that the tokenizer drops.
    """
    joined = join(parts, prefix=prefix)
    limit = reader.limits.max_request_tokens
    if len(joined.text) > limit:
        [count] = await reader.pool.run(partial(reader.tokenizer.counts_above, limit=limit), [joined.text])
        reader.check_total(count, at_least=True)
    [tokens] = await reader.pool.run(partial(reader.tokenizer.encode_with_offsets, most=limit), [joined.text])
    reader.check_total(tokens.token_count, at_least=False)
    return Document(tokens.ids, _checked_spans(joined.places, tokens))


def _checked_spans(places: Int64Array, tokens: OffsetTokens) -> Int64Array:
    spans = part_spans(places, tokens)
    empty = np.flatnonzero(spans[:, 0] == spans[:, 1])
    if len(empty):
        raise _without_text(int(empty[0]), "holds no character that this model reads")
    return spans


def _without_text(index: int, fault: str) -> InvalidField:
    return InvalidField(
        f"Input {index} {fault}. With late chunking every input is a part of one document and needs text of its own: "
        "leave it out, or put it together with its neighbour.",
        param=INPUT_FIELD,
        code="empty_input",
    )
