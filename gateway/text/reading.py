"""A request's inputs, text or ids, as the token rows of one model; what is too long is refused as early as possible."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from functools import partial

from gateway.text.ends import end_of_ids, end_rows
from gateway.text.image_prompt import ImagePrompt
from gateway.text.limits import INPUT_FIELD, image_exceeded, request_exceeded
from gateway.text.pool import TokenizerPool, slices
from gateway.text.tokenizer import TextTokenizer, Tokenized, check_text, token_row
from gateway.text.vocabularies import Cl100kBase, model_ids, refuse_token_ids
from gateway.types import Input, Overflow, TextInput, TokenInput, TokenRow, UInt8Array, Vocabulary

PrefixOf = Callable[[int, str], str]
"""The prefix of a text, given its place among the inputs. Ids in the model's own vocabulary have none."""


@dataclass(frozen=True, slots=True)
class ReadingLimits:
    """`token_ids` is the vocabulary of ids whose request does not say; None refuses them."""

    max_request_tokens: int
    strict_empty: bool
    token_ids: Vocabulary | None


@dataclass(frozen=True, slots=True)
class Portion:
    """Where some inputs stand in their request: the number of the first, the tokens of those before it, and whether
    none follows."""

    first_index: int = 0
    tokens_before: int = 0
    is_last: bool = True


WHOLE = Portion()
"""All of a request's inputs at once."""


class InputReader:
    """Reads inputs for one model. Its tokenizer and the threads for it are there for other readers too."""

    def __init__(
        self,
        tokenizer: TextTokenizer,
        *,
        executor: Executor,
        threads: int,
        cl100k_base: Cl100kBase,
        limits: ReadingLimits,
        image_prompt: ImagePrompt | None = None,
    ) -> None:
        """`image_prompt` is what the model reads for an image; None for one that reads none."""
        self.tokenizer = tokenizer
        self.image_prompt = image_prompt
        self.pool = TokenizerPool(executor, threads=threads)
        self._executor = executor
        self._cl100k_base = cl100k_base
        self.limits = limits

    async def rows(
        self,
        inputs: Sequence[Input],
        *,
        overflow: Overflow,
        max_tokens: int | None = None,
        prefix_of: PrefixOf | None = None,
        images: Mapping[int, UInt8Array] | None = None,
        portion: Portion = WHOLE,
    ) -> list[TokenRow]:
        """One row per input, in order; texts are read with `prefix_of` of them in front. `images` are the pixels of
        those inputs that are images, by their numbers, at the size that the model reads. A `portion` has only texts.
        `max_tokens` stands in for the window where it is smaller; images are never cut.

        Raises `InvalidField` for an input that cannot be read, `TokenLimitExceeded` for one that is longer than the
        window (unless `overflow` truncates) or when all together exceed the limit of a request.
        """
        window = self.tokenizer.max_tokens
        most = min(max_tokens, window) if max_tokens else window
        texts, prefixes, text_places = list[str](), list[str](), list[int]()
        given_rows = self._rows_of_images(images) if images else {}
        for index, (given, text) in enumerate(zip(inputs, await self.texts(inputs), strict=True)):
            if text is None:
                if index not in given_rows:
                    given_rows[index] = self._row_of_ids(given, index=index, overflow=overflow, most=most)
                continue
            check_text(text, index=portion.first_index + index, strict_empty=self.limits.strict_empty)
            prefix = "" if prefix_of is None else prefix_of(index, text)
            prefixes.append(prefix)
            texts.append(prefix + text)
            text_places.append(index)
        total = 0
        if given_rows:
            total = sum(row.token_count for row in given_rows.values())
            self.check_total(total, at_least=bool(texts))
        text_rows = await self._text_rows(
            texts, text_places, overflow=overflow, most=most, total=total, portion=portion
        )
        if overflow is Overflow.TRUNCATE_START:
            text_rows = await self._with_ends(text_rows, texts, prefixes, most=most)
        if not given_rows:
            return text_rows
        given_rows.update(zip(text_places, text_rows, strict=True))
        return [given_rows[index] for index in range(len(inputs))]

    async def texts(self, inputs: Sequence[Input]) -> Sequence[str | None]:
        """The text of each input, None for images and for ids of the model's own vocabulary. Raises `InvalidField` for
        ids that cannot be read."""
        texts = [given.text for given in inputs if isinstance(given, TextInput)]
        if len(texts) == len(inputs):
            return texts
        decoded = await self._decoded(inputs)
        return [given.text if isinstance(given, TextInput) else decoded.get(i) for i, given in enumerate(inputs)]

    async def _text_rows(
        self, texts: list[str], places: list[int], *, overflow: Overflow, most: int, total: int, portion: Portion
    ) -> list[TokenRow]:
        rows: list[TokenRow] = []
        total += portion.tokens_before
        for run in slices(texts):
            tokenized = await self.pool.run(self.tokenizer.encode, run)
            if most < self.tokenizer.max_tokens:
                tokenized = [self._shorter(one, most) for one in tokenized]
            for one in tokenized:
                index = portion.first_index + places[len(rows)]
                rows.append(token_row(one, overflow=overflow, max_tokens=most, index=index))
                # What is computed counts against the request: the cut length where long texts are cut.
                total += one.token_count if overflow is Overflow.REFUSE else len(one.ids)
            self.check_total(total, at_least=len(rows) < len(texts) or not portion.is_last)
        return rows

    def _shorter(self, one: Tokenized, max_tokens: int) -> Tokenized:
        return replace(one, ids=self.tokenizer.cut(one.ids, max_tokens=max_tokens))

    async def _with_ends(
        self, rows: Sequence[TokenRow], texts: Sequence[str], prefixes: Sequence[str], *, most: int
    ) -> list[TokenRow]:
        """`rows`, those that had to be cut with the text's end in place of its beginning."""
        found = list(rows)
        for place, row in enumerate(rows):
            if row.truncated:
                prefix = prefixes[place]
                read = partial(end_rows, self.tokenizer, prefix, max_tokens=most)
                [ids] = await self.pool.run(read, [texts[place].removeprefix(prefix)])
                found[place] = TokenRow(ids=ids, truncated=True)
        return found

    async def _decoded(self, inputs: Sequence[Input]) -> dict[int, str]:
        """The texts of the inputs that are ids of cl100k_base, by input number."""
        foreign = [
            (index, given.ids)
            for index, given in enumerate(inputs)
            if isinstance(given, TokenInput) and self._vocabulary(given, index) is Vocabulary.CL100K_BASE
        ]
        if not foreign:
            return {}

        def decode() -> dict[int, str]:
            return {index: self._cl100k_base.decode(ids, index=index) for index, ids in foreign}

        return await asyncio.get_running_loop().run_in_executor(self._executor, decode)

    def _vocabulary(self, given: TokenInput, index: int) -> Vocabulary:
        vocabulary = given.vocabulary or self.limits.token_ids
        if vocabulary is None:
            raise refuse_token_ids(index=index)
        return vocabulary

    def _rows_of_images(self, images: Mapping[int, UInt8Array]) -> dict[int, TokenRow]:
        return {index: self._row_of_image(pixels, index=index) for index, pixels in images.items()}

    def _row_of_image(self, pixels: UInt8Array, *, index: int) -> TokenRow:
        assert self.image_prompt is not None
        height, width, _ = pixels.shape
        ids = self.image_prompt.ids(height, width)
        if len(ids) > self.tokenizer.max_tokens:
            raise image_exceeded(len(ids), self.tokenizer.max_tokens, index=index)
        return TokenRow(ids, pixels=pixels)

    def _row_of_ids(self, given: Input, *, index: int, overflow: Overflow, most: int) -> TokenRow:
        assert isinstance(given, TokenInput)
        if not given.ids:
            check_text("", index=index, strict_empty=self.limits.strict_empty)
        ids = model_ids(given.ids, self.tokenizer, index=index)
        cut_ids = end_of_ids if overflow is Overflow.TRUNCATE_START else TextTokenizer.cut
        cut = Tokenized(ids=cut_ids(self.tokenizer, ids, max_tokens=most), token_count=len(ids))
        return token_row(cut, overflow=overflow, max_tokens=most, index=index)

    def check_total(self, total: int, *, at_least: bool, param: str = INPUT_FIELD) -> None:
        """Raises `TokenLimitExceeded`, naming the field `param`, for more tokens than a request may have."""
        if total > self.limits.max_request_tokens:
            raise request_exceeded(total, self.limits.max_request_tokens, at_least=at_least, param=param)
