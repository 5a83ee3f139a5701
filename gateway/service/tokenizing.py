"""A served model's tokenizer for whoever wants to see tokens, or the text that they stand for. No model is called."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from gateway.cards.tasks import prompt_of
from gateway.errors import InvalidField
from gateway.service.public_model import PublicModel
from gateway.service.served_models import ServedModels
from gateway.text.limits import request_exceeded
from gateway.text.pool import slices
from gateway.text.tokenizer import OffsetTokens, TextTokenizer, check_unicode
from gateway.types import TextToken

INPUTS_FIELD = "inputs"
IDS_FIELD = "ids"

# Turning an id into text takes about as long as reading so many characters.
_CHARACTERS_PER_ID = 4
# Texts have half as many: what has more is over the limit in tokens, or mostly white space. Without a bound, sixteen
# megabytes of a single word would be read to their end, for tens of seconds.
_MOST_CHARACTERS_PER_TOKEN = 8


class TokenizationService:
    """Implements `gateway.dialects.base.Tokenizer`."""

    def __init__(self, models: ServedModels, *, max_request_tokens: int) -> None:
        self._models = models
        self._max_request_tokens = max_request_tokens

    async def tokenize(
        self, texts: Sequence[str], *, model: str | None, special_tokens: bool, side: str | None
    ) -> list[list[TextToken]]:
        """Each text's tokens, in order; `special_tokens` adds those that the model reads around a text, and a `side` of
        a search its prefix before it.

        Raises `UnknownModel`, `InvalidField` for a text that cannot be read or a side that the model does not know,
        `TokenLimitExceeded` for more tokens than a request may have.
        """
        found = self._find(model)
        prefix = _prefix(found, side)
        self._check_texts(texts)
        rows: list[list[TextToken]] = []
        total = 0
        read = partial(_listed, found.reader.tokenizer, self._max_request_tokens, special_tokens)
        for run in slices([prefix + text for text in texts]):
            for listed in await found.reader.pool.run(read, run):
                total += listed.count
                if total > self._max_request_tokens:
                    at_least = listed.at_least or len(rows) + 1 < len(texts)
                    raise request_exceeded(total, self._max_request_tokens, at_least=at_least, param=INPUTS_FIELD)
                rows.append(listed.tokens)
        return rows

    async def decode(self, rows: Sequence[Sequence[int]], *, model: str | None, skip_special_tokens: bool) -> list[str]:
        """The text of each row of ids. Raises `UnknownModel`, `InvalidField` for an id outside the vocabulary,
        `TokenLimitExceeded` for more ids than a request may have."""
        reader = self._find(model).reader
        total = sum(map(len, rows))
        if total > self._max_request_tokens:
            raise request_exceeded(total, self._max_request_tokens, at_least=False, param=IDS_FIELD)
        _check_ids(rows, size=reader.tokenizer.vocabulary_size)

        def decoded(_: object) -> list[list[str]]:
            return [reader.tokenizer.decode(rows, skip_special_tokens=skip_special_tokens)]

        # The pool goes by how long a text is: without one, any number of ids would be decoded on the event loop.
        [texts] = await reader.pool.run(decoded, ["0" * (_CHARACTERS_PER_ID * total)])
        return texts

    def _check_texts(self, texts: Sequence[str]) -> None:
        most = _MOST_CHARACTERS_PER_TOKEN * self._max_request_tokens
        characters = sum(map(len, texts))
        if characters > most:
            raise InvalidField(
                f"There are {characters} characters to tokenize, and this server's maximum is {most}.",
                param=INPUTS_FIELD,
                code="content_too_long",
            )
        for index, text in enumerate(texts):
            check_unicode(text, name=f"Input {index}", param=INPUTS_FIELD)

    def _find(self, name: str | None) -> PublicModel:
        kind = self._models.resolve(name).model.card.kind
        return self._models.find(name, kind)


def _check_ids(rows: Sequence[Sequence[int]], *, size: int) -> None:
    for index, row in enumerate(rows):
        if row and not (min(row) >= 0 and max(row) < size):
            raise InvalidField(
                f"Row {index} holds a token id that is not in the model's vocabulary, which ends at {size - 1}.",
                param=IDS_FIELD,
                code="invalid_token_id",
            )


def _prefix(model: PublicModel, side: str | None) -> str:
    """What is put before a text for a side of a search; nothing where none is named."""
    if side is None:
        return ""
    choice = model.choose_task(task=None, side=side)
    return prompt_of(model.card.tasks, choice.task, choice.role)


@dataclass(frozen=True, slots=True)
class _Listed:
    """How many tokens a text has, and which, where it has no more than were asked for. `at_least`: it was judged by its
    beginning, and has more than `count`."""

    count: int
    tokens: list[TextToken]
    at_least: bool = False


def _listed(tokenizer: TextTokenizer, most: int, special_tokens: bool, texts: Sequence[str]) -> list[_Listed]:
    return [_list(tokenizer, most, special_tokens, text) for text in texts]


def _list(tokenizer: TextTokenizer, most: int, special_tokens: bool, text: str) -> _Listed:
    [least] = tokenizer.counts_above([text], limit=most)
    if least:
        # Sixteen megabytes, read to their end, are a gigabyte of tokens.
        return _Listed(least, [], at_least=True)
    [tokens] = tokenizer.encode_with_offsets([text], most=most)
    has_ids = len(tokens.ids) > 0
    listed = list(_tokens(tokenizer, text, tokens, special_tokens=special_tokens)) if has_ids else []
    return _Listed(tokens.token_count, listed)


def _tokens(tokenizer: TextTokenizer, text: str, tokens: OffsetTokens, *, special_tokens: bool) -> Iterator[TextToken]:
    ids, end = tokens.ids.tolist(), len(tokens.ids) - tokens.trailing
    added = np.concatenate((tokens.ids[: tokens.leading], tokens.ids[end:]))
    names = iter(tokenizer.token_texts(added) if len(added) else [])
    for place, token in enumerate(ids):
        if tokens.leading <= place < end:
            start, stop = tokens.offsets[place - tokens.leading].tolist()
            yield TextToken(token, text[start:stop], special=False, start=start, stop=stop)
        elif special_tokens:
            yield TextToken(token, next(names), special=True)
