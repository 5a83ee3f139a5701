"""The end of a text that is too long for the model's window, where a caller would rather lose its beginning.

The text loses its first tokens, as by a tokenizer's own truncation from the left; the task's prefix is no part of the
text and is never lost.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gateway.text.tokenizer import TextTokenizer
from gateway.types import Int64Array

# What is looked at first, in characters a token of the window; English has 4 to 5.
_CHARACTERS_PER_TOKEN = 8
_GROWTH = 4


def end_rows(
    tokenizer: TextTokenizer, prefix: str, texts: Sequence[str], *, max_tokens: int | None = None
) -> list[Int64Array]:
    """For each text int64 [tokens], special tokens included: `prefix` and as much of the text's end as `max_tokens`,
    None for the window, have room for. A call blocks."""
    return [_end_row(tokenizer, prefix, text, max_tokens or tokenizer.max_tokens) for text in texts]


def end_of_ids(tokenizer: TextTokenizer, ids: Int64Array, *, max_tokens: int | None = None) -> Int64Array:
    """`ids`, which the model's own special tokens begin and end, cut to `max_tokens`, None for the window: what
    follows the first ones is lost."""
    most = max_tokens or tokenizer.max_tokens
    kept = most - len(tokenizer.prefix_ids)
    return ids if len(ids) <= most else np.concatenate((tokenizer.prefix_ids, ids[-kept:]))


def _end_row(tokenizer: TextTokenizer, prefix: str, text: str, max_tokens: int) -> Int64Array:
    # The white space behind a prefix belongs to the token that follows.
    before = _text_ids(tokenizer, prefix.rstrip())
    room = max_tokens - len(tokenizer.prefix_ids) - len(tokenizer.suffix_ids) - len(before)
    if room <= 0:
        return tokenizer.cut(tokenizer.with_special_tokens(before), max_tokens=max_tokens)
    return tokenizer.with_special_tokens(np.concatenate((before, _last_ids(tokenizer, text, room))))


def _last_ids(tokenizer: TextTokenizer, text: str, count: int) -> Int64Array:
    """The last `count` tokens of `text`, or all that it has. No more of it is read than it takes: of a text in which
    words are as long as what is read, the tokens are those of that part by itself."""
    size = _CHARACTERS_PER_TOKEN * count
    while True:
        ids = _text_ids(tokenizer, text[-size:])
        if len(ids) > count or size >= len(text):
            return ids[-count:]
        size *= _GROWTH


def _text_ids(tokenizer: TextTokenizer, text: str) -> Int64Array:
    [tokens] = tokenizer.encode_with_offsets([text])
    return tokens.ids[tokens.leading : len(tokens.ids) - tokens.trailing]
