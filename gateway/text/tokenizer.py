"""One model's tokenizer: texts in, ids with special tokens out, judged against the model's window.

Truncation and padding settings baked into a `tokenizer.json` are switched off: MiniLM's cuts at 128 and pads to 128,
while the model reads 256 and the gateway pads per batch.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from sys import maxsize

import numpy as np
from tokenizers import Tokenizer

from gateway.errors import ConfigurationError, InvalidField
from gateway.records import record
from gateway.text.limits import INPUT_FIELD, window_exceeded
from gateway.text.special_tokens import pair_specials, special_ids
from gateway.types import Int64Array, Overflow, TokenRow

_MOST_BYTES_A_CHARACTER = 4
# A prefix of this many bytes per token of the window is tried first. English has 4 to 5 bytes a token.
_PREFIX_BYTES_PER_TOKEN = 16
_SMALLEST_PREFIX_BYTES = 16 * 1024
_PREFIX_GROWTH = 4
# Far below what text has, because the first look at a document must not see millions of tokens: U+FDFA alone has nine.
_DOCUMENT_BYTES_PER_TOKEN = 2
# An unfinished word of this many tokens, and of twice as many as are looked for, is long enough however it goes on:
# what follows changes its tokens near the end, or all of them in a short word that is unknown or known as a whole.
_SURE_WORD_TOKENS = 4096
# Offsets are taken over in runs: 300,000 at once would hold the GIL, and so the event loop, for about 50 ms.
_OFFSETS_PER_RUN = 8192
# Made once: numpy looks one up for `np.int64`, 5 us where nothing of it is in the caches.
_INT64 = np.dtype(np.int64)


@record(frozen=True, slots=True)
class Tokenized:
    """What became of one text.

    `ids` is int64 [tokens], cut to the window where it was longer. `token_count` is the length before the cut; where
    `at_least` is set the text was judged by its beginning and `token_count` is a lower bound.
    """

    ids: Int64Array
    token_count: int
    at_least: bool = False


@dataclass(frozen=True, slots=True)
class OffsetTokens:
    """A text's tokens and where they come from.

    `ids` is int64 [tokens], special tokens included, of any length. `offsets` is int64 [text tokens, 2]: for every
    token but the `leading` first and the `trailing` last, which are special, its [start, end) in the text's characters.
    Tokens may overlap (the bytes of one character all have its place) or be empty. A text of more tokens than
    were asked for has no ids and no offsets here; `token_count`, special tokens included, is right all the same.
    """

    ids: Int64Array
    offsets: Int64Array
    leading: int
    trailing: int
    token_count: int


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
        self.prefix_ids, self.suffix_ids = special_ids(tokenizer)
        self.pair_specials = pair_specials(tokenizer)
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

    def with_window(self, max_tokens: int) -> TextTokenizer:
        """The same tokenizer with another window."""
        return TextTokenizer(self._tokenizer, max_tokens=max_tokens, max_text_bytes=self._max_text_bytes)

    def encode(self, texts: Sequence[str]) -> list[Tokenized]:
        """Tokenizes `texts` in order; a call blocks, so it belongs in a thread.

        Raises nothing for a text that is too long: that is judged per request by `fit_window`. Texts have to be valid
        Unicode (`utf8_length` says so).
        """
        if not any(map(self._is_long, texts)):
            return self._encode_whole(texts)
        long = {place for place, text in enumerate(texts) if self._is_long(text)}
        short = iter(self._encode_whole([text for place, text in enumerate(texts) if place not in long]))
        return [self._encode_long(text) if place in long else next(short) for place, text in enumerate(texts)]

    def encode_bare(self, texts: Sequence[str], *, most: int) -> list[Tokenized]:
        """As `encode`, without special tokens and with `most` in place of the window."""
        long = {place for place, text in enumerate(texts) if self._is_long(text)}
        short = [text for place, text in enumerate(texts) if place not in long]
        encodings = iter(self._tokenizer.encode_batch_fast(short, add_special_tokens=False))
        return [
            self._long_bare(text, most) if place in long else _cut_bare(next(encodings).ids, most)
            for place, text in enumerate(texts)
        ]

    def counts_above(self, texts: Sequence[str], *, limit: int) -> list[int]:
        """How many tokens, special ones included, those texts have at least that a part of them shows to have more
        than `limit`; 0 for the others, which the whole would have to be read for."""
        specials = len(self.prefix_ids) + len(self.suffix_ids)
        first_bytes = _DOCUMENT_BYTES_PER_TOKEN * limit
        beginnings = (self._beginning(text, more_than=limit - specials, first_bytes=first_bytes) for text in texts)
        return [0 if ids is None else len(ids) + specials for ids in beginnings]

    def encode_with_offsets(self, texts: Sequence[str], *, most: int = maxsize) -> list[OffsetTokens]:
        """As `encode`, uncut and with each token's place in its text; texts of more than `most` tokens, special ones
        included, are counted and no more."""
        return [self._with_offsets(text, most) for text in texts]

    def token_texts(self, ids: Int64Array) -> list[str]:
        """What each token stands for by itself, U+FFFD where it is a part of a character; a call blocks."""
        known, places = np.unique(ids, return_inverse=True)
        texts = self._tokenizer.decode_batch([[one] for one in known.tolist()], skip_special_tokens=False)
        return [texts[place] for place in places.tolist()]

    def decode(self, rows: Sequence[Sequence[int]], *, skip_special_tokens: bool) -> list[str]:
        """The text of each row of ids, all of which have to be in the vocabulary; a call blocks."""
        return self._tokenizer.decode_batch([list(row) for row in rows], skip_special_tokens=skip_special_tokens)

    def with_special_tokens(self, ids: Int64Array) -> Int64Array:
        """`ids` between the model's special tokens, as its own template would put them."""
        return np.concatenate((self.prefix_ids, ids, self.suffix_ids))

    def cut(self, ids: Int64Array, *, max_tokens: int | None = None) -> Int64Array:
        """`ids` (special tokens included) cut to `max_tokens`, None for the window, as the tokenizer's own right
        truncation would: the text loses its end, the special tokens stay."""
        most = max_tokens or self.max_tokens
        if len(ids) <= most:
            return ids
        return np.concatenate((ids[: most - len(self.suffix_ids)], self.suffix_ids))

    def _is_long(self, text: str) -> bool:
        """Whether a text is judged by its beginning first."""
        return len(text) * _MOST_BYTES_A_CHARACTER > self._max_text_bytes and utf8_length(text) > self._max_text_bytes

    def _encode_whole(self, texts: Sequence[str]) -> list[Tokenized]:
        encodings = self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=True)
        return [self._tokenized(encoding.ids) for encoding in encodings]

    def _encode_long(self, text: str) -> Tokenized:
        """Judges by growing prefixes whether the window overflows before reading the whole text."""
        room = self.max_tokens - len(self.prefix_ids) - len(self.suffix_ids)
        beginning = self._beginning(text, more_than=room, first_bytes=_PREFIX_BYTES_PER_TOKEN * self.max_tokens)
        if beginning is None:
            return self._encode_whole([text])[0]
        ids = self.with_special_tokens(beginning)
        return Tokenized(ids=self.cut(ids), token_count=len(ids), at_least=True)

    def _long_bare(self, text: str, most: int) -> Tokenized:
        beginning = self._beginning(text, more_than=most, first_bytes=_DOCUMENT_BYTES_PER_TOKEN * most)
        if beginning is None:
            [encoding] = self._tokenizer.encode_batch_fast([text], add_special_tokens=False)
            return _cut_bare(encoding.ids, most)
        return Tokenized(ids=beginning[:most], token_count=len(beginning), at_least=True)

    def _with_offsets(self, text: str, most: int) -> OffsetTokens:
        # In a batch of one, as in `_sure_tokens`.
        [encoding] = self._tokenizer.encode_batch([text], add_special_tokens=True)
        count = len(encoding)
        leading, trailing = len(self.prefix_ids), len(self.suffix_ids)
        if count > most:
            # Millions of tuples, made at once, would hold the GIL for seconds.
            nothing = np.empty((0, 2), dtype=np.int64)
            return OffsetTokens(nothing[:, 0], nothing, leading=leading, trailing=trailing, token_count=count)
        places = encoding.offsets
        starts = range(0, len(places), _OFFSETS_PER_RUN)
        runs = [np.array(places[start : start + _OFFSETS_PER_RUN], dtype=np.int64) for start in starts]
        offsets = np.concatenate(runs) if runs else np.empty((0, 2), dtype=np.int64)
        return OffsetTokens(
            ids=np.array(encoding.ids, dtype=np.int64),
            offsets=offsets[leading : len(offsets) - trailing],
            leading=leading,
            trailing=trailing,
            token_count=count,
        )

    def _beginning(self, text: str, *, more_than: int, first_bytes: int) -> Int64Array | None:
        """The first of a text's tokens, without special ones: more than `more_than` of them, or None where no growing
        prefix, the first of `first_bytes`, shows so many before the whole text would be read."""
        data = text.encode("utf-8")
        size = max(_SMALLEST_PREFIX_BYTES, first_bytes)
        while size < len(data):
            ids = self._sure_tokens(data[:size].decode("utf-8", errors="ignore"), more_than=more_than)
            if len(ids) > more_than:
                return ids
            size *= _PREFIX_GROWTH
        return None

    def _sure_tokens(self, prefix: str, *, more_than: int) -> Int64Array:
        """Ids of `prefix` without its last word, which what follows the prefix may still change; where that is very
        long, the first `more_than` and one of all ids."""
        # In a batch of one: `encode` keeps the GIL, so that 16 MB of one letter would stop the event loop for seconds.
        [encoding] = self._tokenizer.encode_batch([prefix], add_special_tokens=False)
        count = len(encoding)
        if not count:
            return np.empty(0, dtype=np.int64)

        def word_of(token: int) -> int:
            return encoding.token_to_word(token) or 0

        # Searched for, because the list of all words is as long as that of the ids, and made in one go under the GIL.
        end = bisect_left(range(count), word_of(count - 1), key=word_of)
        if count - end > max(2 * more_than, _SURE_WORD_TOKENS):
            end = max(end, more_than + 1)
        return np.array(encoding.ids[:end], dtype=np.int64)

    def _tokenized(self, ids: list[int]) -> Tokenized:
        row, count = np.array(ids, _INT64), len(ids)
        return Tokenized(row if count <= self.max_tokens else self.cut(row), count)


def utf8_length(text: str) -> int:
    """Bytes of `text` in UTF-8. Raises `UnicodeEncodeError` for a lone surrogate, which has no UTF-8 form."""
    return len(text) if text.isascii() else len(text.encode("utf-8"))


def check_text(text: str, *, index: int, strict_empty: bool) -> None:
    """Raises `InvalidField` for a text that cannot be tokenized: a lone surrogate, or empty where that is refused."""
    if not text and strict_empty:
        raise InvalidField(f"Input {index} is an empty string.", param=INPUT_FIELD, code="empty_input")
    if not text.isascii():
        check_unicode(text, name=f"Input {index}", param=INPUT_FIELD)


def check_unicode(text: str, *, name: str, param: str) -> None:
    """Raises `InvalidField`, naming the text `name` and its field `param`, for one that has a lone surrogate."""
    try:
        utf8_length(text)
    except UnicodeEncodeError:
        raise InvalidField(
            f"{name} is not valid Unicode: it has a lone surrogate.", param=param, code="invalid_unicode"
        ) from None


def token_row(tokenized: Tokenized, *, overflow: Overflow, max_tokens: int, index: int) -> TokenRow:
    """The row for input number `index`.

    Raises `TokenLimitExceeded` when it is too long and `overflow` refuses, `InvalidField` when it has no token: beside
    longer rows it would get the vector of padding.
    """
    if not len(tokenized.ids):
        raise InvalidField(
            f"Input {index} has no token that the model could read: it is empty, and this model's tokenizer adds none.",
            param=INPUT_FIELD,
            code="empty_input",
        )
    if tokenized.token_count <= max_tokens:
        return TokenRow(ids=tokenized.ids)
    if overflow is Overflow.REFUSE:
        raise window_exceeded(tokenized.token_count, max_tokens, index=index, at_least=tokenized.at_least)
    return TokenRow(ids=tokenized.ids, truncated=True)


def _cut_bare(ids: list[int], most: int) -> Tokenized:
    return Tokenized(ids=np.array(ids[:most], dtype=np.int64), token_count=len(ids))
