"""Counting and cutting by cl100k_base and by the tokenizers of served models."""

from __future__ import annotations

import asyncio
import base64
import threading
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from gateway.errors import InvalidField, TokenLimitExceeded
from gateway.service import segmenting
from gateway.service.segmenting import SegmentationService
from tests.support.twin_engine import TwinService, twin_service
from tests.support.twins import reranker_v2, v3

MODEL, RERANKER = "jina-embeddings-v3", "jina-reranker-v2-base-multilingual"
TEXT = "The quick brown fox.\n\nJumps over the lazy dog. 你好世界。"


@pytest.fixture
async def twin(tmp_path: Path) -> AsyncIterator[TwinService]:
    async with twin_service(tmp_path, MODEL, RERANKER) as twin:
        yield twin


@pytest.fixture
def segmenter(twin: TwinService, tmp_path: Path) -> AsyncIterator[SegmentationService]:
    with ThreadPoolExecutor(1) as executor:
        yield SegmentationService(
            twin.service.models, vocabulary_folder=tmp_path, max_request_tokens=1000, executor=executor
        )


def install(folder: Path) -> None:
    """A cl100k_base of single bytes."""
    lines = [f"{base64.b64encode(bytes([byte])).decode()} {byte}" for byte in range(256)]
    (folder / "cl100k_base.tiktoken").write_text("\n".join(lines))


async def test_tokens_and_pieces_by_cl100k_base(segmenter: SegmentationService, tmp_path: Path) -> None:
    install(tmp_path)
    result = await segmenter.segment(TEXT, tokenizer="CL100K_BASE", max_chunk_characters=25)
    assert result.token_count == len(TEXT.encode())
    assert "".join(part for part, _ in result.tokens) == TEXT
    assert [token for _, ids in result.tokens for token in ids] == list(TEXT.encode())
    pieces = [TEXT[start:end] for start, end in result.chunk_positions]
    assert pieces == ["The quick brown fox.\n\n", "Jumps over the lazy dog. ", "你好世界。"]


async def test_no_pieces_where_none_are_asked_for(segmenter: SegmentationService, tmp_path: Path) -> None:
    install(tmp_path)
    result = await segmenter.segment(TEXT, tokenizer="cl100k_base", max_chunk_characters=None)
    assert result.chunk_positions == ()


@pytest.mark.parametrize("name", [MODEL, "jinaai/Jina-Embeddings-V3", f"{MODEL}:separation", RERANKER])
async def test_tokens_by_a_served_models_own_tokenizer(segmenter: SegmentationService, name: str) -> None:
    own = (reranker_v2 if name == RERANKER else v3).build().tokenizer()
    own.no_truncation()
    own.no_padding()
    ids = own.encode(TEXT, add_special_tokens=False).ids
    result = await segmenter.segment(TEXT, tokenizer=name, max_chunk_characters=1000)
    assert result.token_count == len(ids)
    assert [token for _, together in result.tokens for token in together] == ids
    assert result.chunk_positions == ((0, len(TEXT)),)


async def test_a_tokenizer_that_is_not_here_is_refused_with_those_that_are(
    segmenter: SegmentationService, tmp_path: Path
) -> None:
    for name in ("o200k_base", "gpt2", "cl100k_base", "jina-embeddings-v2-base-en", "nope"):
        with pytest.raises(InvalidField, match=f"Installed: {MODEL}, {RERANKER}") as refused:
            await segmenter.segment(TEXT, tokenizer=name, max_chunk_characters=None)
        assert (refused.value.param, refused.value.code) == ("tokenizer", "unknown_tokenizer")
        assert "gateway models pull cl100k_base" in refused.value.message
    install(tmp_path)
    with pytest.raises(InvalidField, match=f"Installed: cl100k_base, {MODEL}"):
        await segmenter.segment(TEXT, tokenizer="o200k_base", max_chunk_characters=None)
    assert (await segmenter.segment("ab", tokenizer="cl100k_base", max_chunk_characters=None)).token_count == 2


async def test_what_is_too_long_is_refused(segmenter: SegmentationService, tmp_path: Path) -> None:
    install(tmp_path)
    assert (await segmenter.segment("a" * 1000, tokenizer="cl100k_base", max_chunk_characters=9)).token_count == 1000
    for name in ("cl100k_base", MODEL):
        with pytest.raises(TokenLimitExceeded, match="1000 tokens per request") as refused:
            await segmenter.segment("你" * 1001, tokenizer=name, max_chunk_characters=9)
        assert refused.value.param == "content"
    with pytest.raises(InvalidField, match="has 4001 characters, and this server's maximum is 4000") as refused:
        await segmenter.segment(" " * 4001, tokenizer=MODEL, max_chunk_characters=9)
    assert refused.value.param == "content"


async def test_a_lone_surrogate_is_refused_without_repeating_the_text(segmenter: SegmentationService) -> None:
    with pytest.raises(InvalidField, match="Unicode") as refused:
        await segmenter.segment("secret \ud800", tokenizer=MODEL, max_chunk_characters=None)
    assert refused.value.param == "content"
    assert "secret" not in refused.value.message


async def test_nothing_is_read_on_the_event_loop(
    segmenter: SegmentationService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:

    install(tmp_path)
    threads: set[int] = set()
    cut = segmenting.cut_by_structure

    def cut_and_tell(text: str, *, max_characters: int) -> list[tuple[int, int]]:
        threads.add(threading.get_ident())
        return cut(text, max_characters=max_characters)

    monkeypatch.setattr(segmenting, "cut_by_structure", cut_and_tell)
    await asyncio.gather(
        *(segmenter.segment(TEXT, tokenizer=name, max_chunk_characters=9) for name in ("cl100k_base", MODEL))
    )
    assert len(threads) == 1
    assert threading.get_ident() not in threads
