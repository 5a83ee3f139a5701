"""Late chunking against an oracle of its own, over the twin of jina-embeddings-v3."""

from __future__ import annotations

import base64
import random
import threading
from collections.abc import AsyncIterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from gateway.cards.tasks import choose_task
from gateway.errors import DeadlineExceeded, InferenceFailed, InvalidField, InvalidVector, TokenLimitExceeded
from gateway.service.late_chunking import LateChunking, LateChunks, document_rows
from gateway.text.documents import Document
from gateway.types import Input, OwnPrefixes, RowGroup, RowOutput, TextInput, TokenInput, Vocabulary
from tests.support.late_chunking_oracle import late_chunks, raw_late_chunks, token_count
from tests.support.twin_engine import TwinService, soon, twin_service
from tests.support.twins import v2_base_en, v3

MODEL = "jina-embeddings-v3"
WINDOW, OVERLAP = 64, 16
TOLERANCE = 1e-4

SENTENCES = (
    "The quick brown fox jumps over the lazy dog.",
    "Organic skin care for sensitive skin",
    "you say é, I say e\u0301 and ﬁne ½",
    "你好世界。",
    "机器学习模型文本",
    "日本語のこんにちは、",
    "สวัสดี",
    "안녕하세요",
    "שלום مرحبا",
    "🙂👩\u200d👩\u200d👧 🙂",
    "  spaces  around  ",
    "line\n",
    "\n\nparagraph",
    "a",
    "。",
    "x\u200by",
)


def parts_of(count: int, seed: int) -> list[str]:
    dice = random.Random(seed)
    return [dice.choice(SENTENCES) + dice.choice(("", "", " apples", "你")) for _ in range(count)]


def hidden_states(task: str) -> partial[np.ndarray]:
    return partial(v3.build().hidden_states, task=v3.TASKS.index(task))


def expected(parts: Sequence[str], task: str, *, max_tokens: int, overlap: int) -> np.ndarray:
    return late_chunks(
        hidden_states(task),
        v3.build().tokenizer(),
        parts,
        instruction=v3.PROMPTS[task],
        max_tokens=max_tokens,
        overlap=overlap,
    )


def unit(vectors: np.ndarray) -> np.ndarray:
    wide = vectors.astype(np.float64)
    return wide / np.linalg.norm(wide, axis=1, keepdims=True)


async def chunked(
    twin: TwinService,
    inputs: Sequence[Input | str],
    *,
    task: str | None = "retrieval.passage",
    own_prefixes: OwnPrefixes = OwnPrefixes.ROLE,
    model: str = MODEL,
    deadline: float | None = None,
) -> LateChunks:
    found = twin.service.models.find(model)
    return await LateChunking(own_prefixes=own_prefixes).vectors(
        found,
        [TextInput(one) if isinstance(one, str) else one for one in inputs],
        choice=choose_task(found.card.tasks, task=task, role=None),
        deadline=soon() if deadline is None else deadline,
    )


@pytest.fixture
async def whole(tmp_path: Path) -> AsyncIterator[TwinService]:
    """With the model's own window."""
    async with twin_service(tmp_path, MODEL) as twin:
        yield twin


@pytest.fixture
async def small(tmp_path: Path) -> AsyncIterator[TwinService]:
    """With a window of 64 tokens, so that a page is a document of several windows."""
    async with twin_service(tmp_path, MODEL, max_tokens=WINDOW, overlap_tokens=OVERLAP) as twin:
        yield twin


@pytest.mark.parametrize("count", [1, 2, 3, 17, 200])
async def test_every_part_has_the_mean_of_its_tokens_in_the_whole(whole: TwinService, count: int) -> None:
    for seed, task in enumerate(v3.TASKS if count < 200 else v3.TASKS[:1]):
        parts = parts_of(count, seed)
        result = await chunked(whole, parts, task=task)
        assert result.vectors.dtype == np.float32
        wanted = expected(parts, task, max_tokens=8192, overlap=256)
        np.testing.assert_allclose(unit(result.vectors), wanted, rtol=0, atol=TOLERANCE)
        assert result.token_count == token_count(v3.build().tokenizer(), parts, instruction=v3.PROMPTS[task])


async def test_context_matters_and_one_part_alone_is_its_own_document(whole: TwinService) -> None:
    together = unit((await chunked(whole, ["Organic skin care", "for sensitive skin"])).vectors)
    alone = unit((await chunked(whole, ["for sensitive skin"])).vectors)
    assert np.abs(together[1] - alone[0]).max() > 0.05
    prompt = v3.PROMPTS["retrieval.passage"]
    plain = v3.build().vector(v3.build().ids(prompt + "for sensitive skin"), task=1)
    np.testing.assert_allclose(alone[0], plain, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("seed", range(12))
async def test_documents_of_several_windows(small: TwinService, seed: int) -> None:
    """Chunks are cut by windows at every place, and the last window is as short as it comes."""
    task = v3.TASKS[seed % len(v3.TASKS)]
    parts = parts_of(6 + 3 * seed, seed)
    result = await chunked(small, parts, task=task)
    wanted = expected(parts, task, max_tokens=WINDOW, overlap=OVERLAP)
    np.testing.assert_allclose(unit(result.vectors), wanted, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize(
    "tokens", [WINDOW, WINDOW + 1, WINDOW + OVERLAP, 2 * WINDOW - OVERLAP, 3 * WINDOW - 2 * OVERLAP]
)
async def test_no_window_is_computed_that_brings_nothing_new(small: TwinService, tokens: int) -> None:
    """Stepping until the tokens end gives a last window that lies in the overlap, and a mean over nothing."""
    parts = ["the " * (tokens - 2 - 10), "dog " * 10]
    assert token_count(v3.build().tokenizer(), parts) == tokens
    small.engine.calls.clear()
    result = await chunked(small, parts, task="text-matching")
    wanted = expected(parts, "text-matching", max_tokens=WINDOW, overlap=OVERLAP)
    np.testing.assert_allclose(unit(result.vectors), wanted, rtol=0, atol=TOLERANCE)
    rows = [int(row.sum()) for call in small.engine.calls for row in call.inputs["attention_mask"]]
    windows = 1 + max(0, -(-(tokens - WINDOW) // (WINDOW - OVERLAP)))
    assert len(rows) == windows
    assert sum(rows) == result.token_count == tokens + (windows - 1) * OVERLAP


async def test_later_windows_have_neither_start_token_nor_prefix(small: TwinService) -> None:
    small.engine.calls.clear()
    await chunked(small, ["the dog " * 90])
    rows = [row for call in small.engine.calls for row in call.inputs["input_ids"]]
    first = [row for row in rows if row[0] == 0]
    assert len(first) == 1
    assert len(rows) > 3
    prompt = v3.build().ids(v3.PROMPTS["retrieval.passage"])[:-1]
    assert first[0][: len(prompt)].tolist() == prompt.tolist()


@pytest.mark.parametrize("overlap", [0, 31])
async def test_windows_may_share_nothing_or_almost_all(tmp_path: Path, overlap: int) -> None:
    async with twin_service(tmp_path, MODEL, max_tokens=32, overlap_tokens=overlap) as twin:
        parts = parts_of(5, 1)
        result = await chunked(twin, parts)
    wanted = expected(parts, "retrieval.passage", max_tokens=32, overlap=overlap)
    np.testing.assert_allclose(unit(result.vectors), wanted, rtol=0, atol=TOLERANCE)


async def test_means_are_handed_out_as_long_as_they_are(whole: TwinService) -> None:
    parts = parts_of(5, 3)
    raw = raw_late_chunks(
        hidden_states("separation"), v3.build().tokenizer(), parts, instruction="", max_tokens=8192, overlap=256
    )
    result = await chunked(whole, parts, task="separation")
    np.testing.assert_allclose(result.vectors, raw, rtol=0, atol=TOLERANCE)


async def test_a_document_that_brings_its_own_prefix_is_not_given_another(whole: TwinService) -> None:
    own = [v3.PROMPTS["retrieval.query"] + "the dog", "and the fox"]
    by_prefix = await chunked(whole, own, task=None)
    wanted = expected(["the dog", "and the fox"], "retrieval.query", max_tokens=8192, overlap=256)
    np.testing.assert_allclose(unit(by_prefix.vectors), wanted, rtol=0, atol=TOLERANCE)
    ignored = await chunked(whole, own, task="retrieval.query", own_prefixes=OwnPrefixes.IGNORE)
    wanted = expected(own, "retrieval.query", max_tokens=8192, overlap=256)
    np.testing.assert_allclose(unit(ignored.vectors), wanted, rtol=0, atol=TOLERANCE)


async def test_ids_of_another_vocabulary_are_read_as_text_and_the_models_own_are_refused(
    tmp_path: Path, whole: TwinService
) -> None:
    lines = [f"{base64.b64encode(bytes([byte])).decode()} {byte}" for byte in range(256)]
    (tmp_path / "cl100k_base.tiktoken").write_text("\n".join(lines))
    foreign = TokenInput(tuple("for 你好".encode()), Vocabulary.CL100K_BASE)
    result = await chunked(whole, ["the dog", foreign])
    wanted = expected(["the dog", "for 你好"], "retrieval.passage", max_tokens=8192, overlap=256)
    np.testing.assert_allclose(unit(result.vectors), wanted, rtol=0, atol=TOLERANCE)
    with pytest.raises(InvalidField, match="Input 1 is token ids of the model's own vocabulary") as refused:
        await chunked(whole, ["the dog", TokenInput((5, 6), Vocabulary.MODEL)])
    assert refused.value.param == "input"


@pytest.mark.parametrize(("bad", "why"), [("", "white space"), (" \n\u3000", "white space"), ("\ud800", "Unicode")])
async def test_a_part_without_text_is_refused_by_its_number(whole: TwinService, bad: str, why: str) -> None:
    with pytest.raises(InvalidField, match=f"Input 1 .*{why}") as refused:
        await chunked(whole, ["the dog", bad, "the fox"])
    assert refused.value.param == "input"


async def test_a_document_beyond_the_limit_of_a_request_is_refused_before_it_is_computed(tmp_path: Path) -> None:
    async with twin_service(tmp_path, MODEL, max_tokens=WINDOW, overlap_tokens=OVERLAP, max_request_tokens=300) as twin:
        fits = ["the dog " * 100, "apples " * 50]
        assert (await chunked(twin, fits)).token_count > 230
        twin.engine.calls.clear()
        with pytest.raises(
            TokenLimitExceeded, match=r"300 tokens per request, however you requested 3\d\d tokens in total"
        ):
            await chunked(twin, [*fits, "fox " * 50])
        with pytest.raises(TokenLimitExceeded, match="at least"):
            await chunked(twin, ["the dog " * 1_000_000, "fox"])
        assert twin.engine.calls == []


@pytest.mark.parametrize("model", ["jina-embeddings-v5-text-nano"])
async def test_a_model_of_another_pooling_is_refused(tmp_path: Path, model: str) -> None:
    async with twin_service(tmp_path, model) as twin:
        with pytest.raises(InvalidField, match="mean") as refused:
            await chunked(twin, ["the dog"], task="retrieval.passage", model=model)
    assert refused.value.param == "late_chunking"


async def test_a_model_without_tasks_chunks_late_too(tmp_path: Path) -> None:
    name = "jina-embeddings-v2-base-en"
    async with twin_service(tmp_path, name) as twin:
        parts = ["The quick brown fox", "jumps over the lazy dog."]
        result = await chunked(twin, parts, task=None, model=name)
    own = v2_base_en.build()
    wanted = late_chunks(own.hidden_states, own.tokenizer(), parts, max_tokens=8192, overlap=256)
    np.testing.assert_allclose(unit(result.vectors), wanted, rtol=0, atol=TOLERANCE)


async def test_what_is_no_vector_is_an_error(whole: TwinService) -> None:
    whole.engine.broken = True
    with pytest.raises(InferenceFailed):
        await chunked(whole, ["the dog", "the fox"])


async def test_a_part_whose_token_vectors_cancel_out_is_an_error() -> None:
    group = RowGroup(output=RowOutput.SPAN_SUMS)
    document = Document(np.arange(6), np.array([[0, 3], [3, 6]]))
    rows = document_rows(document, group=group, max_tokens=10, overlap=2)
    with pytest.raises(InvalidVector, match="zeros"):
        rows.means([np.array([[1.0, 2.0], [0.0, 0.0]])])


async def test_a_tokenizer_that_takes_too_long_is_not_waited_for(
    whole: TwinService, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokenizer, held = whole.service.models.find(MODEL).reader.tokenizer, threading.Event()
    monkeypatch.setattr(tokenizer, "encode_with_offsets", lambda _, most: held.wait(60))
    try:
        with pytest.raises(DeadlineExceeded):
            await chunked(whole, ["the dog " * 100], deadline=soon(0.1))
    finally:
        held.set()
    assert whole.engine.calls == []


async def test_a_deadline_that_has_passed_is_told_so(whole: TwinService) -> None:
    with pytest.raises(DeadlineExceeded):
        await chunked(whole, ["the dog"], deadline=soon(-1))
