"""Tokens by the tokenizers of served models, compared with the tokenizers themselves."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer

from gateway.cards.tasks import UnknownTask
from gateway.errors import InvalidField, TokenLimitExceeded, UnknownModel
from gateway.service.tokenizing import TokenizationService
from tests.support.twin_engine import TwinService, twin_service
from tests.support.twins import reranker_v2, v3

MODEL, RERANKER = "jina-embeddings-v3", "jina-reranker-v2-base-multilingual"
TEXTS = ["The quick brown fox.\n\nJumps over the lazy dog. 你好世界。", "", "  a  b "]
PROMPT = "Represent the query for retrieving evidence documents: "


@pytest.fixture
async def twin(tmp_path: Path) -> AsyncIterator[TwinService]:
    async with twin_service(tmp_path, MODEL, RERANKER) as twin:
        yield twin


@pytest.fixture
def tokenization(twin: TwinService) -> TokenizationService:
    return TokenizationService(twin.service.models, max_request_tokens=1000)


def own_tokenizer(name: str) -> Tokenizer:
    own = (reranker_v2 if name == RERANKER else v3).build().tokenizer()
    own.no_truncation()
    own.no_padding()
    return own


@pytest.mark.parametrize("name", [MODEL, f"{MODEL}:latest", RERANKER])
@pytest.mark.parametrize("special_tokens", [True, False])
async def test_tokens_are_the_tokenizers_own(
    tokenization: TokenizationService, name: str, special_tokens: bool
) -> None:
    rows = await tokenization.tokenize(TEXTS, model=name, special_tokens=special_tokens, side=None)
    own = own_tokenizer(name)
    for text, row in zip(TEXTS, rows, strict=True):
        encoding = own.encode(text, add_special_tokens=special_tokens)
        assert [token.id for token in row] == encoding.ids
        assert [token.special for token in row] == [bool(mask) for mask in encoding.special_tokens_mask]
        for token, (start, stop) in zip(row, encoding.offsets, strict=True):
            if token.special:
                assert (token.text, token.start, token.stop) == (own.id_to_token(token.id), None, None)
            else:
                assert (token.text, token.start, token.stop) == (text[start:stop], start, stop)


async def test_a_side_puts_its_prefix_before_the_text(tokenization: TokenizationService) -> None:
    [row] = await tokenization.tokenize(["apples"], model=MODEL, special_tokens=False, side="query")
    assert [token.id for token in row] == own_tokenizer(MODEL).encode(PROMPT + "apples", add_special_tokens=False).ids
    with pytest.raises(UnknownTask):
        await tokenization.tokenize(["apples"], model=MODEL, special_tokens=False, side="sideways")


@pytest.mark.parametrize("skip", [True, False])
async def test_ids_become_text_again(tokenization: TokenizationService, skip: bool) -> None:
    own = own_tokenizer(MODEL)
    rows = [own.encode(text).ids for text in TEXTS]
    decoded = await tokenization.decode(rows, model=MODEL, skip_special_tokens=skip)
    assert decoded == own.decode_batch(rows, skip_special_tokens=skip)


@pytest.mark.parametrize("ids", [[-1], [10**6], [0, 2**40]])
async def test_ids_outside_the_vocabulary_are_refused(tokenization: TokenizationService, ids: list[int]) -> None:
    with pytest.raises(InvalidField) as refused:
        await tokenization.decode([[0], ids], model=MODEL, skip_special_tokens=True)
    assert (refused.value.code, refused.value.param) == ("invalid_token_id", "ids")


async def test_what_cannot_be_tokenized(tokenization: TokenizationService) -> None:
    async def tokenize(*texts: str, model: str | None = MODEL) -> None:
        await tokenization.tokenize(texts, model=model, special_tokens=True, side=None)

    with pytest.raises(UnknownModel):
        await tokenize("a", model="none")
    with pytest.raises(InvalidField, match="Input 1"):
        await tokenize("a", "\ud800")
    with pytest.raises(TokenLimitExceeded, match="1000 tokens per request") as refused:
        await tokenize("a", "word " * 1500)
    assert refused.value.param == "inputs"
    with pytest.raises(TokenLimitExceeded):
        await tokenize(*["word " * 300] * 4)


async def test_a_text_is_read_no_further_than_it_takes_to_refuse_it(
    twin: TwinService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To its end it would be hundreds of megabytes of tokens."""
    tokenizer = twin.service.models.find(MODEL).reader.tokenizer
    monkeypatch.setattr(type(tokenizer), "encode_with_offsets", not_to_be_called)
    tokenization = TokenizationService(twin.service.models, max_request_tokens=10_000)
    with pytest.raises(TokenLimitExceeded, match="at least"):
        await tokenization.tokenize(["a " * 40_000], model=MODEL, special_tokens=True, side=None)


@pytest.mark.parametrize("texts", [["a" * 8001], [" " * 4000, "a" * 4001]])
async def test_so_many_characters_are_not_looked_at(tokenization: TokenizationService, texts: list[str]) -> None:
    with pytest.raises(InvalidField, match="this server's maximum is 8000") as refused:
        await tokenization.tokenize(texts, model=MODEL, special_tokens=True, side=None)
    assert refused.value.code == "content_too_long"
    assert await tokenization.tokenize([" " * 7999 + "a"], model=MODEL, special_tokens=True, side=None)


async def test_ids_are_as_many_as_tokens_may_be(tokenization: TokenizationService) -> None:
    assert await tokenization.decode([[5] * 500] * 2, model=MODEL, skip_special_tokens=True)
    with pytest.raises(TokenLimitExceeded, match="you requested 1001 tokens") as refused:
        await tokenization.decode([[5] * 500, [5] * 501], model=MODEL, skip_special_tokens=True)
    assert refused.value.param == "ids"


async def test_many_ids_are_not_decoded_on_the_event_loop(
    twin: TwinService, tokenization: TokenizationService, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokenizer = twin.service.models.find(MODEL).reader.tokenizer
    threads: list[threading.Thread] = []
    whole = type(tokenizer).decode

    def noted(*args: Any, **options: Any) -> list[str]:
        threads.append(threading.current_thread())
        return whole(*args, **options)

    monkeypatch.setattr(type(tokenizer), "decode", noted)
    for ids in ([5], [5] * 1000):
        await tokenization.decode([ids], model=MODEL, skip_special_tokens=True)
    assert threads[0] is threading.current_thread()
    assert threads[1] is not threading.current_thread()


def not_to_be_called(*_: Any, **__: Any) -> Any:
    raise AssertionError("this was not to be called")
