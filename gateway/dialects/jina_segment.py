"""Jina's segmenter: checks a request, and writes a text's tokens and pieces."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import orjson

from gateway.dialects.endpoint import Answer, Call
from gateway.dialects.fields import Fields, flag, required_text, whole_number, word
from gateway.dialects.json_rows import json_list, json_list_of_small, written
from gateway.errors import InvalidField
from gateway.service.deadlines import before
from gateway.types import Segmentation, StageSeconds, Usage

Token = tuple[str, tuple[int, ...]]

_DEFAULT_TOKENIZER = "cl100k_base"
_DEFAULT_CHUNK_CHARACTERS = 1000
_BYTES_PER_TOKEN = 24


@dataclass(frozen=True, slots=True)
class SegmentCall:
    """`max_chunk_characters` None asks for no pieces. `head` and `tail` count tokens; at most one of them is given, and
    either asks for tokens by itself."""

    content: str
    tokenizer: str
    return_tokens: bool
    max_chunk_characters: int | None
    head: int | None
    tail: int | None


async def segment(call: Call) -> Answer:
    """The answer of `/v1/segment`, by POST with all fields, by GET to count tokens."""
    asked = parse_segment_call(call.fields)
    work = call.services.segmenter.segment(
        asked.content, tokenizer=asked.tokenizer, max_chunk_characters=asked.max_chunk_characters
    )
    async with before(call.deadline):
        result = await call.wait_for(work)
    usage = Usage(prompt_tokens=result.token_count, total_tokens=result.token_count)
    call.note(model="", inputs=1, usage=usage, stages=StageSeconds())
    expected_bytes = len(asked.content) + _BYTES_PER_TOKEN * (len(result.tokens) if asked.return_tokens else 0)
    return Answer(await written(lambda: encode_segments(result, asked), expected_bytes=expected_bytes))


def parse_segment_call(fields: Fields) -> SegmentCall:
    """Translate the fields; unknown ones are ignored and null means not given. Raises `InvalidField`."""
    head = whole_number(fields, "head", minimum=1, otherwise="Leave it out for all tokens.")
    tail = whole_number(fields, "tail", minimum=1, otherwise="Leave it out for all tokens.")
    if head is not None and tail is not None:
        raise InvalidField("'head' and 'tail' exclude each other. Send one of them.", param="tail")
    longest = whole_number(fields, "max_chunk_length", minimum=1, otherwise="Leave it out for pieces of up to 1000.")
    wants_chunks = flag(fields, "return_chunks", default=False)
    return SegmentCall(
        content=required_text(fields, "content", what="the text to segment"),
        tokenizer=word(fields, "tokenizer", "model") or _DEFAULT_TOKENIZER,
        return_tokens=flag(fields, "return_tokens", default=False) or head is not None or tail is not None,
        max_chunk_characters=(longest or _DEFAULT_CHUNK_CHARACTERS) if wants_chunks else None,
        head=head,
        tail=tail,
    )


def encode_segments(result: Segmentation, call: SegmentCall) -> bytes:
    """The JSON body for `result`. Tokens are listed by piece, or as one piece where none were asked for."""
    parts = [
        b'"num_tokens":%d,"tokenizer":%b,"usage":{"tokens":0}' % (result.token_count, orjson.dumps(call.tokenizer))
    ]
    has_chunks = call.max_chunk_characters is not None
    if has_chunks:
        parts.append(b'"num_chunks":%d' % len(result.chunk_positions))
        parts.append(b'"chunk_positions":%b' % json_list_of_small(result.chunk_positions))
    if call.return_tokens:
        starts = [start for start, _ in result.chunk_positions] if has_chunks else [0]
        pieces = _by_piece(result.tokens, call, starts)
        parts.append(b'"tokens":[%b]' % b",".join([json_list_of_small(piece) for piece in pieces]))
    if has_chunks:
        parts.append(b'"chunks":%b' % json_list(call.content[start:end] for start, end in result.chunk_positions))
    return b"{%b}" % b",".join(parts)


def _by_piece(tokens: Sequence[Token], call: SegmentCall, starts: Sequence[int]) -> list[list[Token]]:
    """The tokens that are asked for, by the piece of the text in which each begins. `starts` are the pieces' own."""
    pieces: list[list[Token]] = [[] for _ in starts]
    first = len(tokens) - call.tail if call.tail is not None else 0
    last = call.head if call.head is not None else len(tokens)
    for number, (token, begin) in enumerate(zip(tokens, _beginnings(tokens, call.content), strict=True)):
        if first <= number < last and pieces:
            pieces[max(0, bisect_right(starts, begin) - 1)].append(token)
    return pieces


def _beginnings(tokens: Sequence[Token], content: str) -> Iterator[int]:
    """Where in `content` each token begins. They are parts of it, in order, with gaps where a tokenizer drops
    something."""
    position = 0
    for text, _ in tokens:
        position = content.index(text, position)
        yield position
        position += len(text)
