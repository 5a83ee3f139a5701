"""What a caller's token ids mean. Ids say nothing about their vocabulary, so it is always stated, never guessed.

Decoding is a lookup in the published rank file, so it is done here in a few lines: `tiktoken` would compile its
encoder for it (0.4 s) and copy the file into a cache in the temporary folder.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from gateway.errors import ConfigurationError, InvalidField
from gateway.text.limits import INPUT_FIELD
from gateway.text.tokenizer import TextTokenizer
from gateway.types import Int64Array, Vocabulary

CL100K_FILE = f"{Vocabulary.CL100K_BASE.value}.tiktoken"
# The control tokens that OpenAI publishes for cl100k_base; they stand outside the rank file.
CL100K_SPECIAL_TOKENS = {
    100257: b"<|endoftext|>",
    100258: b"<|fim_prefix|>",
    100259: b"<|fim_middle|>",
    100260: b"<|fim_suffix|>",
    100276: b"<|endofprompt|>",
}

_MEND = (
    "Send text instead (LangChain: `check_embedding_ctx_length=False`), install the vocabulary with "
    "`gateway models pull cl100k_base`, or say what ids mean with the setting `GATEWAY_TOKEN_IDS`."
)


class Cl100kBase:
    """The ids that OpenAI's clients send, as text. Read from `folder` at first use, so that it can be installed while
    the gateway runs."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / CL100K_FILE
        self._tokens: dict[int, bytes] | None = None

    def decode(self, ids: Sequence[int], *, index: int) -> str:
        """The text of `ids`, with U+FFFD where they cut a character apart; `index` is the input's number.

        Blocks for about 0.1 s at the first call. Raises `InvalidField` where the vocabulary is not installed or an id
        is not in it.
        """
        tokens = self._load(index=index)
        try:
            return b"".join([tokens[token] for token in ids]).decode("utf-8", errors="replace")
        except KeyError:
            place = next(place for place, token in enumerate(ids) if token not in tokens)
            raise _outside(index=index, place=place, vocabulary="cl100k_base", largest=max(tokens)) from None

    def _load(self, *, index: int) -> dict[int, bytes]:
        if self._tokens is None:
            try:
                data = self._file.read_bytes()
            except FileNotFoundError:
                raise InvalidField(
                    f"Input {index} is token ids, taken as cl100k_base ids, and that vocabulary is not installed here. "
                    f"{_MEND}",
                    param=INPUT_FIELD,
                    code="token_vocabulary_not_installed",
                ) from None
            self._tokens = read_ranks(data) | CL100K_SPECIAL_TOKENS
        return self._tokens


def model_ids(ids: Sequence[int], tokenizer: TextTokenizer, *, index: int) -> Int64Array:
    """`ids` in the model's own vocabulary as an int64 row [tokens].

    A row that already starts and ends with the model's special tokens is used as it is; any other is the text's tokens
    and gets them added, as the tokenizer does for text. Raises `InvalidField` for an id outside the vocabulary.
    """
    size = tokenizer.vocabulary_size
    if ids and not (min(ids) >= 0 and max(ids) < size):
        place = next(place for place, token in enumerate(ids) if not 0 <= token < size)
        raise _outside(index=index, place=place, vocabulary="the model", largest=size - 1)
    row = np.array(ids, dtype=np.int64)
    return row if _has_special_tokens(row, tokenizer) else tokenizer.with_special_tokens(row)


def refuse_token_ids(*, index: int) -> InvalidField:
    """The refusal of an input given as ids where the operator allows text only."""
    return InvalidField(
        f"Input {index} is token ids, which this server refuses unless the request says what vocabulary they are of. "
        f"{_MEND}",
        param=INPUT_FIELD,
        code="token_ids_refused",
    )


def _has_special_tokens(row: Int64Array, tokenizer: TextTokenizer) -> bool:
    before, after = tokenizer.prefix_ids, tokenizer.suffix_ids
    if len(row) < len(before) + len(after):
        return False
    ends_right = np.array_equal(row[len(row) - len(after) :], after)
    return bool(np.array_equal(row[: len(before)], before) and ends_right)


def read_ranks(data: bytes) -> dict[int, bytes]:
    """Tokens by rank, from lines of `base64-token rank`, as published. Raises `ConfigurationError` for others."""
    try:
        pairs = [line.split() for line in data.splitlines() if line]
        return {int(rank): base64.b64decode(token) for token, rank in pairs}
    except ValueError as error:
        raise ConfigurationError(
            f"{CL100K_FILE} is damaged.", remedy="Install it again: gateway models pull cl100k_base"
        ) from error


def _outside(*, index: int, place: int, vocabulary: str, largest: int) -> InvalidField:
    return InvalidField(
        f"The token id at position {place} of input {index} is outside the vocabulary of {vocabulary}, "
        f"which goes from 0 to {largest}.",
        param=INPUT_FIELD,
        code="invalid_token_id",
    )
