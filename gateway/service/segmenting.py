"""Counting and listing a text's tokens, and cutting it into pieces: no model is called for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from concurrent.futures import Executor
from functools import partial
from pathlib import Path

from gateway.errors import InvalidField, UnknownModel
from gateway.service.served_models import ServedModels
from gateway.text.limits import request_exceeded
from gateway.text.pool import TokenizerPool
from gateway.text.segmenting import cut_by_structure
from gateway.text.token_lists import Cl100kEncoder, ListedToken, listed
from gateway.text.tokenizer import check_unicode
from gateway.types import Segmentation, Vocabulary

CONTENT_FIELD = "content"
TOKENIZER_FIELD = "tokenizer"

# A token has about four characters, so a text of more of them is over the limit in tokens, or mostly white space.
_MOST_CHARACTERS_PER_TOKEN = 4


class SegmentationService:
    """Segments by cl100k_base, or by the tokenizer of a served model. Implements `gateway.dialects.base.Segmenter`."""

    def __init__(
        self, models: ServedModels, *, vocabulary_folder: Path, max_request_tokens: int, executor: Executor
    ) -> None:
        """`executor` has a thread of its own for this: a long text takes seconds, and no request for vectors should
        wait for it."""
        self._models = models
        self._cl100k = Cl100kEncoder(vocabulary_folder)
        self._max_request_tokens = max_request_tokens
        self._executor = executor
        # Never on the loop: the first text of a vocabulary has it loaded, which takes half a second.
        self._pool = TokenizerPool(executor, threads=1, turn_weight=0)

    async def segment(self, text: str, *, tokenizer: str, max_chunk_characters: int | None) -> Segmentation:
        """The text's tokens, special ones left out, and its pieces, none where `max_chunk_characters` is None.

        Raises `InvalidField` for a tokenizer that is not here, or a text that cannot be read; `TokenLimitExceeded` for
        one of more tokens than a request may have.
        """
        self._check_text(text)
        count, tokens = await self._read(text, tokenizer)
        if count > self._max_request_tokens:
            raise request_exceeded(count, self._max_request_tokens, at_least=False, param=CONTENT_FIELD)

        def segmented(_: object) -> list[Segmentation]:
            pieces = cut_by_structure(text, max_characters=max_chunk_characters) if max_chunk_characters else ()
            return [Segmentation(count, tokens=tuple(tokens()), chunk_positions=tuple(pieces))]

        [segmentation] = await self._pool.run(segmented, [text])
        return segmentation

    async def _read(self, text: str, tokenizer: str) -> tuple[int, Callable[[], Iterable[ListedToken]]]:
        """How many tokens there are, and what lists them."""
        if tokenizer.lower() != Vocabulary.CL100K_BASE.value:
            return await self._read_by_model(text, tokenizer)
        if not self._cl100k.is_installed:
            raise self._not_installed(tokenizer)
        if not self._cl100k.is_loaded:
            await asyncio.get_running_loop().run_in_executor(self._executor, self._cl100k.load)
        [ids] = await self._pool.run(self._cl100k.encode, [text])
        return len(ids), partial(self._cl100k.listed, ids)

    async def _read_by_model(self, text: str, name: str) -> tuple[int, Callable[[], Iterable[ListedToken]]]:
        try:
            kind = self._models.resolve(name).model.card.kind
            reader = self._models.find(name, kind).reader
        except UnknownModel:
            raise self._not_installed(name) from None
        specials = len(reader.tokenizer.prefix_ids) + len(reader.tokenizer.suffix_ids)
        most = self._max_request_tokens + specials
        [tokens] = await reader.pool.run(partial(reader.tokenizer.encode_with_offsets, most=most), [text])
        return tokens.token_count - specials, partial(listed, text, tokens)

    def _check_text(self, text: str) -> None:
        most = _MOST_CHARACTERS_PER_TOKEN * self._max_request_tokens
        if len(text) > most:
            raise InvalidField(
                f"The text has {len(text)} characters, and this server's maximum is {most}.",
                param=CONTENT_FIELD,
                code="content_too_long",
            )
        check_unicode(text, name="The text", param=CONTENT_FIELD)

    def _not_installed(self, name: str) -> InvalidField:
        installed = [listing.model.name for listing in self._models.list()]
        if self._cl100k.is_installed:
            installed.insert(0, Vocabulary.CL100K_BASE.value)
        here = f"Installed: {', '.join(installed)}." if installed else "None is."
        return InvalidField(
            f"The tokenizer {name[:200]!r} is not installed here. {here} cl100k_base comes with "
            "`gateway models pull cl100k_base`, a model's own with the model.",
            param=TOKENIZER_FIELD,
            code="unknown_tokenizer",
        )
