"""A served model's tokenizer for whoever wants to see tokens, or the text that they stand for. No model is called."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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
        for index, text in enumerate(texts):
            check_unicode(text, name=f"Input {index}", param=INPUTS_FIELD)
        rows: list[list[TextToken]] = []
        total = 0
        for run in slices([prefix + text for text in texts]):
            read = partial(_counted, found.reader.tokenizer, self._max_request_tokens, special_tokens)
            for count, tokens in await found.reader.pool.run(read, run):
                total += count
                if total > self._max_request_tokens:
                    at_least = len(rows) + 1 < len(texts)
                    raise request_exceeded(total, self._max_request_tokens, at_least=at_least, param=INPUTS_FIELD)
                rows.append(tokens)
        return rows

    async def decode(self, rows: Sequence[Sequence[int]], *, model: str | None, skip_special_tokens: bool) -> list[str]:
        """The text of each row of ids. Raises `UnknownModel`, and `InvalidField` for an id outside the vocabulary."""
        reader = self._find(model).reader
        size = reader.tokenizer.vocabulary_size
        for index, row in enumerate(rows):
            if row and not (min(row) >= 0 and max(row) < size):
                raise InvalidField(
                    f"Row {index} holds a token id that is not in the model's vocabulary, which ends at {size - 1}.",
                    param=IDS_FIELD,
                    code="invalid_token_id",
                )

        def decoded(_: object) -> list[list[str]]:
            return [reader.tokenizer.decode(rows, skip_special_tokens=skip_special_tokens)]

        [texts] = await reader.pool.run(decoded, [""])
        return texts

    def _find(self, name: str | None) -> PublicModel:
        kind = self._models.resolve(name).model.card.kind
        return self._models.find(name, kind)


def _prefix(model: PublicModel, side: str | None) -> str:
    """What is put before a text for a side of a search; nothing where none is named."""
    if side is None:
        return ""
    choice = model.choose_task(task=None, side=side)
    return prompt_of(model.card.tasks, choice.task, choice.role)


def _counted(
    tokenizer: TextTokenizer, most: int, special_tokens: bool, texts: Sequence[str]
) -> list[tuple[int, list[TextToken]]]:
    """How many tokens each text has, and those of a text that has no more than `most`."""
    counted = []
    for text, tokens in zip(texts, tokenizer.encode_with_offsets(texts, most=most), strict=True):
        listed = list(_tokens(tokenizer, text, tokens, special_tokens=special_tokens)) if len(tokens.ids) else []
        counted.append((tokens.token_count, listed))
    return counted


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
