"""One model's tokenizer: texts in, ids with special tokens out, judged against the model's window.

Truncation and padding settings baked into a `tokenizer.json` are switched off: MiniLM's cuts at 128 and pads to 128,
while the model reads 256 and the gateway pads per batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from gateway.errors import ConfigurationError, InvalidField
from gateway.text.limits import INPUT_FIELD, window_exceeded
from gateway.types import Int64Array, Overflow, TokenRow

# A prefix of this many bytes per token of the window is tried first. English has 4 to 5 bytes a token.
_PREFIX_BYTES_PER_TOKEN = 16
_SMALLEST_PREFIX_BYTES = 16 * 1024
_PREFIX_GROWTH = 4


@dataclass(frozen=True, slots=True)
class Tokenized:
    """What became of one text.

    `ids` is int64 [tokens], cut to the window where it was longer. `token_count` is the length before the cut; where
    `at_least` is set the text was judged by its beginning and `token_count` is a lower bound.
    """

    ids: Int64Array
    token_count: int
    at_least: bool = False


class TextTokenizer:
    """A loaded tokenizer. Thread-safe: nothing changes after loading, and only batch calls are made, which run without
    the GIL."""

    def __init__(self, tokenizer: Tokenizer, *, max_tokens: int, max_text_bytes: int) -> None:
        """Takes `tokenizer` over: its own padding and truncation are switched off.

        `max_tokens` is the model's window, special tokens included. A text of more UTF-8 bytes than `max_text_bytes`
        is judged by its beginning first.
        """
        tokenizer.no_padding()
        tokenizer.no_truncation()
        self._tokenizer = tokenizer
        self.max_tokens = max_tokens
        self._max_text_bytes = max_text_bytes
        self.vocabulary_size = int(tokenizer.get_vocab_size(with_added_tokens=True))
        self.prefix_ids, self.suffix_ids = _special_ids(tokenizer)
        if max_tokens <= len(self.prefix_ids) + len(self.suffix_ids):
            raise ConfigurationError(f"A window of {max_tokens} tokens has no room beside the special tokens.")

    @classmethod
    def from_file(cls, path: Path, *, max_tokens: int, max_text_bytes: int) -> TextTokenizer:
        """Loads `tokenizer.json`, or the one in a folder. Raises `ConfigurationError` naming what is wrong with it."""
        file = path / "tokenizer.json" if path.is_dir() else path
        try:
            text = file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigurationError(f"The tokenizer {file} cannot be read: {type(error).__name__}.") from error
        try:
            tokenizer = Tokenizer.from_str(text)
        except Exception as error:
            # tokenizers raises bare Exception for every fault of the file.
            raise ConfigurationError(f"{file} is not a tokenizer that can be loaded: {error}") from error
        return cls(tokenizer, max_tokens=max_tokens, max_text_bytes=max_text_bytes)

    def encode(self, texts: Sequence[str]) -> list[Tokenized]:
        """Tokenizes `texts` in order; a call blocks, so it belongs in a thread.

        Raises nothing for a text that is too long: that is judged per request by `fit_window`. Texts have to be valid
        Unicode (`utf8_length` says so).
        """
        long = {place for place, text in enumerate(texts) if utf8_length(text) > self._max_text_bytes}
        if not long:
            return self._encode_whole(texts)
        short = iter(self._encode_whole([text for place, text in enumerate(texts) if place not in long]))
        return [self._encode_long(text) if place in long else next(short) for place, text in enumerate(texts)]

    def with_special_tokens(self, ids: Int64Array) -> Int64Array:
        """`ids` between the model's special tokens, as its own template would put them."""
        return np.concatenate((self.prefix_ids, ids, self.suffix_ids))

    def cut(self, ids: Int64Array) -> Int64Array:
        """`ids` (special tokens included) cut to the window as the tokenizer's own right truncation would: the text
        loses its end, the special tokens stay."""
        if len(ids) <= self.max_tokens:
            return ids
        return np.concatenate((ids[: self.max_tokens - len(self.suffix_ids)], self.suffix_ids))

    def _encode_whole(self, texts: Sequence[str]) -> list[Tokenized]:
        encodings = self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=True)
        return [self._tokenized(encoding.ids) for encoding in encodings]

    def _encode_long(self, text: str) -> Tokenized:
        """Judges by growing prefixes whether the window overflows before reading the whole text."""
        data = text.encode("utf-8")
        size = max(_SMALLEST_PREFIX_BYTES, _PREFIX_BYTES_PER_TOKEN * self.max_tokens)
        while size < len(data):
            ids = self._complete_words(data[:size].decode("utf-8", errors="ignore"))
            if len(ids) > self.max_tokens:
                return Tokenized(ids=self.cut(ids), token_count=len(ids), at_least=True)
            size *= _PREFIX_GROWTH
        return self._encode_whole([text])[0]

    def _complete_words(self, prefix: str) -> Int64Array:
        """Ids of `prefix` with special tokens, without its last word: what follows the prefix may still change that."""
        # In a batch of one: `encode` keeps the GIL, so that 16 MB of one letter would stop the event loop for seconds.
        [encoding] = self._tokenizer.encode_batch([prefix], add_special_tokens=False)
        words = encoding.word_ids
        end = len(words)
        while end and words[end - 1] == words[-1]:
            end -= 1
        return self.with_special_tokens(np.array(encoding.ids[:end], dtype=np.int64))

    def _tokenized(self, ids: list[int]) -> Tokenized:
        return Tokenized(ids=self.cut(np.array(ids, dtype=np.int64)), token_count=len(ids))


def utf8_length(text: str) -> int:
    """Bytes of `text` in UTF-8. Raises `UnicodeEncodeError` for a lone surrogate, which has no UTF-8 form."""
    return len(text) if text.isascii() else len(text.encode("utf-8"))


def check_text(text: str, *, index: int, strict_empty: bool) -> None:
    """Raises `InvalidField` for a text that cannot be tokenized: a lone surrogate, or empty where that is refused."""
    if not text and strict_empty:
        raise InvalidField(f"Input {index} is an empty string.", param=INPUT_FIELD, code="empty_input")
    try:
        utf8_length(text)
    except UnicodeEncodeError:
        raise InvalidField(
            f"Input {index} is not valid Unicode: it has a lone surrogate.", param=INPUT_FIELD, code="invalid_unicode"
        ) from None


def token_row(tokenized: Tokenized, *, overflow: Overflow, max_tokens: int, index: int) -> TokenRow:
    """The row for input number `index`. Raises `TokenLimitExceeded` when it is too long and `overflow` refuses."""
    if tokenized.token_count <= max_tokens:
        return TokenRow(ids=tokenized.ids)
    if overflow is Overflow.REFUSE:
        raise window_exceeded(tokenized.token_count, max_tokens, index=index, at_least=tokenized.at_least)
    return TokenRow(ids=tokenized.ids, truncated=True)


def _special_ids(tokenizer: Tokenizer) -> tuple[Int64Array, Int64Array]:
    """The special tokens that the tokenizer puts before and after a text."""
    encoding = tokenizer.encode("a", add_special_tokens=True)
    ids = np.array(encoding.ids, dtype=np.int64)
    text_places = [place for place, special in enumerate(encoding.special_tokens_mask) if not special]
    if not text_places:
        return ids, ids[:0]
    return ids[: text_places[0]], ids[text_places[-1] + 1 :]
