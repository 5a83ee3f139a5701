"""Late chunking, reranking, classifying and segmenting by HTTP, over a real Triton and the tiny twins."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from gateway.app import create_app
from gateway.settings import Settings
from tests.conftest import VOCABULARIES, ServedTriton
from tests.support.late_chunking_oracle import late_chunks, token_count
from tests.support.live_server import live_server
from tests.support.reranking_oracle import best_piece_score, truncated_score
from tests.support.twin_repository import twin_repository
from tests.support.twins import v3

pytestmark = pytest.mark.triton

V3, RERANKER = "jina-embeddings-v3", "jina-reranker-v2-base-multilingual"
WINDOW, OVERLAP = 96, 24
TOLERANCE = 1e-4
SENTENCES = (
    "The quick brown fox jumps over the lazy dog.",
    "Organic skin care",
    "é, e\u0301 and ﬁne ½",
    "你好世界。",
    "日本語のこんにちは、",
    "สวัสดี",
    "안녕하세요",
    "🙂👩\u200d👩\u200d👧",
    "  spaces  ",
    "line\n",
    "\n\nparagraph",
)


def parts_of(count: int, seed: int) -> list[str]:
    return random.Random(seed).choices(SENTENCES, k=count)


@pytest.fixture(scope="module")
def client(twin_gateway_url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=twin_gateway_url, timeout=120) as made:
        yield made


@pytest.fixture(scope="module")
def small_windows(
    twin_triton: ServedTriton, twin_models: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[httpx.Client]:
    """A gateway before the same Triton that takes its models' windows for much shorter than they are."""
    repository = twin_repository(
        tmp_path_factory.mktemp("small"), V3, RERANKER, max_tokens=WINDOW, overlap_tokens=OVERLAP
    )
    for name in (V3, RERANKER):
        shutil.copytree(twin_models / name / "1", repository / name / "1")
    settings = Settings(
        _env_file=None,  # type: ignore[call-arg]
        triton_url=twin_triton.grpc,
        model_repository=repository,
        vocabulary_folder=VOCABULARIES,
        models=(V3, RERANKER),
    )
    with live_server(settings, create_app(settings)) as server:
        server.wait_until_ready()
        with httpx.Client(base_url=server.url, timeout=120) as made:
            yield made


def answer(client: httpx.Client, path: str, **body: object) -> dict[str, Any]:
    response = client.post(path, json=body)
    assert response.status_code == 200, response.text
    document: dict[str, Any] = response.json()
    return document


def chunked(client: httpx.Client, parts: Sequence[str], **body: object) -> tuple[np.ndarray, dict[str, Any]]:
    document = answer(client, "/v1/embeddings", model=V3, input=list(parts), late_chunking=True, **body)
    assert [row["index"] for row in document["data"]] == list(range(len(parts)))
    return np.array([row["embedding"] for row in document["data"]]), document["usage"]


def expected(parts: Sequence[str], task: str, *, max_tokens: int, overlap: int) -> np.ndarray:
    twin = v3.build()
    return late_chunks(
        partial(twin.hidden_states, task=v3.TASKS.index(task)),
        twin.tokenizer(),
        parts,
        instruction=v3.PROMPTS[task],
        max_tokens=max_tokens,
        overlap=overlap,
    )


@pytest.mark.parametrize("count", [1, 2, 30, 200])
def test_chunks_of_one_window(client: httpx.Client, count: int) -> None:
    parts, task = parts_of(count, count), v3.TASKS[count % 5]
    vectors, usage = chunked(client, parts, task=task)
    wanted = expected(parts, task, max_tokens=8192, overlap=256)
    np.testing.assert_allclose(vectors, wanted, rtol=0, atol=TOLERANCE)
    tokens = token_count(v3.build().tokenizer(), parts, instruction=v3.PROMPTS[task])
    assert usage["prompt_tokens"] == usage["total_tokens"] == tokens


@pytest.mark.parametrize("seed", range(6))
def test_chunks_of_several_windows(small_windows: httpx.Client, seed: int) -> None:
    parts, task = parts_of(16 + 12 * seed, seed), v3.TASKS[seed % 5]
    assert token_count(v3.build().tokenizer(), parts, instruction=v3.PROMPTS[task]) > WINDOW
    vectors, _ = chunked(small_windows, parts, task=task)
    wanted = expected(parts, task, max_tokens=WINDOW, overlap=OVERLAP)
    np.testing.assert_allclose(vectors, wanted, rtol=0, atol=TOLERANCE)


def test_chunks_are_cut_to_dimensions_and_handed_out_as_long_as_they_are(client: httpx.Client) -> None:
    parts = parts_of(9, 3)
    whole = expected(parts, "separation", max_tokens=8192, overlap=256)
    vectors, _ = chunked(client, parts, task="separation", dimensions=16)
    cut = whole[:, :16] / np.linalg.norm(whole[:, :16], axis=1, keepdims=True)
    np.testing.assert_allclose(vectors, cut, rtol=0, atol=TOLERANCE)
    raw, _ = chunked(client, parts, task="separation", normalized=False)
    assert np.abs(np.linalg.norm(raw, axis=1) - 1.0).min() > 0.01
    np.testing.assert_allclose(raw / np.linalg.norm(raw, axis=1, keepdims=True), whole, rtol=0, atol=TOLERANCE)


def test_a_part_without_text_and_a_model_without_late_chunking_are_refused(client: httpx.Client) -> None:
    for body, words in (
        ({"model": V3, "input": ["a", " \n"]}, "Input 1 is empty"),
        ({"model": "jina-embeddings-v5-text-nano", "input": ["a", "b"]}, "cannot chunk late"),
    ):
        response = client.post("/v1/embeddings", json={**body, "late_chunking": True})
        assert response.status_code == 400
        assert words in response.json()["detail"]


def test_documents_are_ranked_by_their_best_piece(small_windows: httpx.Client) -> None:
    query = "the quick fox"
    documents = [" ".join(parts_of(count, count)) for count in (1, 3, 10, 30, 31, 32, 60)]
    document = answer(small_windows, "/v1/rerank", model=RERANKER, query=query, documents=documents)
    scores = {row["index"]: row["relevance_score"] for row in document["results"]}
    wanted = [
        best_piece_score(query, one, max_length=WINDOW, max_query_length=WINDOW // 2, overlap_tokens=OVERLAP)
        for one in documents
    ]
    np.testing.assert_allclose([scores[number] for number in range(len(documents))], wanted, rtol=0, atol=1e-5)
    assert [row["index"] for row in document["results"]] == np.argsort(-np.array(wanted)).tolist()
    assert document["usage"]["total_tokens"] > WINDOW * len(documents)


def test_documents_are_cut_where_that_is_asked_for(small_windows: httpx.Client) -> None:
    documents = [" ".join(parts_of(count, count)) for count in (1, 12, 60)]
    document = answer(small_windows, "/v1/rerank", query="fox", documents=documents, truncation=True)
    scores = {row["index"]: row["relevance_score"] for row in document["results"]}
    wanted = [truncated_score("fox", one, max_length=WINDOW) for one in documents]
    np.testing.assert_allclose([scores[number] for number in range(3)], wanted, rtol=0, atol=1e-5)


def test_positions_of_the_real_window_are_never_exceeded(client: httpx.Client) -> None:
    query, document = "the quick fox " * 300, " ".join(parts_of(700, 9))
    [row] = answer(client, "/v1/rerank", query=query, documents=[document])["results"]
    wanted = best_piece_score(query, document, max_length=1024, max_query_length=512, overlap_tokens=80)
    assert row["relevance_score"] == pytest.approx(wanted, abs=1e-5)


def test_labels_by_similarity(client: httpx.Client) -> None:
    texts, labels = ["organic skin care", "the lazy dog 你好"], ["animals", "cosmetics", "languages"]
    document = answer(client, "/v1/classify", model=V3, input=texts, labels=labels)
    twin = v3.build()
    task = v3.TASKS.index("classification")
    inputs, known = (np.stack([twin.vector(twin.ids(one), task=task) for one in some]) for some in (texts, labels))
    powers = np.exp(inputs @ known.T)
    wanted = powers / powers.sum(axis=1, keepdims=True)
    scores = [[one["score"] for one in row["predictions"]] for row in document["data"]]
    np.testing.assert_allclose(scores, wanted, rtol=0, atol=1e-5)
    assert [row["prediction"] for row in document["data"]] == [labels[best] for best in wanted.argmax(axis=1)]


@pytest.mark.parametrize("tokenizer", ["cl100k_base", V3, RERANKER])
def test_a_text_is_segmented(client: httpx.Client, tokenizer: str) -> None:
    text = "The quick brown fox.\n\nJumps over the lazy dog. 你好世界。"
    document = answer(
        client,
        "/v1/segment",
        content=text,
        tokenizer=tokenizer,
        return_chunks=True,
        return_tokens=True,
        max_chunk_length=25,
    )
    assert document["chunks"] == ["The quick brown fox.\n\n", "Jumps over the lazy dog. ", "你好世界。"]
    ids = [token for piece in document["tokens"] for _, together in piece for token in together]
    assert len(ids) == document["num_tokens"]
    if tokenizer == V3:
        assert ids == v3.build().ids(text)[1:-1].tolist()
