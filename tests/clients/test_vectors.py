"""Official clients as they come get the model's vectors: those that this process computes without the gateway."""

from __future__ import annotations

import base64
from typing import Any

import httpx
import numpy as np
import pytest

from tests.clients.conftest import NEWEST, QUERY, RERANKER, TEXTS, Reports

pytestmark = [pytest.mark.network, pytest.mark.triton, pytest.mark.timeout(900)]

TOLERANCE = 1e-6
SIZE, CUT = 384, 128
V3 = "jina-embeddings-v3"

PLAIN = {
    "openai_sdk": [
        "openai", "openai: float", "openai: token ids", "openai: async", "openai: one by one", "azure",
    ],
    "langchain_packages": [
        "langchain-openai", "langchain-openai: queries", "langchain-openai: async",
        "langchain-openai: unknown to tiktoken", "langchain-openai: text", "langchain-openai: text, queries",
        "langchain-ollama", "langchain-ollama: model checked",
        "langchain-cohere", "langchain-cohere: queries", "langchain-cohere: async",
    ],
    "llama_index_packages": [
        f"llama-index-{api}{how}"
        for api in ("openai", "tei", "ollama", "cohere")
        for how in ("", ": queries", ": async")
    ],
    "haystack_packages": ["haystack-openai", "haystack-openai: queries"],
    "ollama_sdk": [
        "ollama", "ollama: async", "ollama: latest", "ollama: one by one", "ollama: embeddings", "ollama: options",
    ],
    "cohere_sdk": [
        "cohere", "cohere: without input_type", "cohere: float", "cohere: many", "cohere-v2", "cohere-v2: async",
        "cohere-v2: inputs",
    ],
    "voyage_sdk": ["voyageai", "voyageai: documents", "voyageai: async"],
    "google_genai_sdk": ["google-genai", "google-genai: async", "google-genai: one by one"],
    "litellm_package": [
        "litellm-openai", "litellm-openai: async", "litellm-hosted-vllm", "litellm-ollama", "litellm-cohere",
        "litellm-voyage", "litellm-azure",
    ],
}  # fmt: skip
PLAIN["cohere_sdk" + NEWEST] = PLAIN["cohere_sdk"]
CUTS = {
    "openai_sdk": ["openai: dimensions"],
    "langchain_packages": ["langchain-openai: dimensions"],
    "llama_index_packages": ["llama-index-openai: dimensions"],
    "haystack_packages": ["haystack-openai: dimensions"],
    "ollama_sdk": ["ollama: dimensions"],
    "cohere_sdk": ["cohere-v2: dimensions"],
    "cohere_sdk" + NEWEST: ["cohere-v2: dimensions"],
    "voyage_sdk": ["voyageai: dimensions"],
    "google_genai_sdk": ["google-genai: dimensions"],
    "litellm_package": ["litellm-openai: dimensions"],
}
TASKS = {
    ("llama_index_packages", "llama-index-jinaai"): None,
    ("llama_index_packages", "llama-index-jinaai: queries"): None,
    ("llama_index_packages", "llama-index-jinaai: async"): None,
    ("llama_index_packages", "llama-index-jinaai: task"): "retrieval.passage",
    ("haystack_packages", "haystack-jina"): None,
    ("haystack_packages", "haystack-jina: passages"): "retrieval.passage",
    ("haystack_packages", "haystack-jina: queries"): "retrieval.query",
    ("google_genai_sdk", "google-genai: queries"): "retrieval.query",
    ("litellm_package", "litellm-jina"): None,
}
RANKINGS = [
    ("langchain_packages", "langchain-cohere: rerank"),
    ("haystack_packages", "haystack-jina: rerank"),
    *(
        (program, f"{api}: rerank")
        for program in ("cohere_sdk", "cohere_sdk" + NEWEST)
        for api in ("cohere", "cohere-v2")
    ),
    ("voyage_sdk", "voyageai: rerank"),
    ("litellm_package", "litellm-jina: rerank"),
    ("litellm_package", "litellm-cohere: rerank"),
    ("litellm_package", "litellm-hosted-vllm: rerank"),
]


def pairs(table: dict[str, list[str]]) -> list[tuple[str, str]]:
    return [(program, case) for program, cases in table.items() for case in cases]


def rows(values: Any) -> np.ndarray:
    """The float32 that was sent, however it was written."""
    return np.array(values, np.float64).astype(np.float32)


def unpacked(texts: list[str]) -> np.ndarray:
    return np.stack([np.frombuffer(base64.b64decode(text), "<f4") for text in texts])


@pytest.mark.parametrize(("program", "case"), pairs(PLAIN))
def test_vectors_are_the_models_own(program: str, case: str, reports: Reports, in_process_vectors: np.ndarray) -> None:
    found = np.array(reports.gave(program, case), np.float64)
    assert found.shape == (len(TEXTS), SIZE)
    assert np.abs(found - in_process_vectors).max() <= TOLERANCE


@pytest.mark.parametrize(("program", "case"), pairs(CUTS))
def test_shorter_vectors_are_their_beginning_made_unit_length(
    program: str, case: str, reports: Reports, in_process_vectors: np.ndarray
) -> None:
    found = np.array(reports.gave(program, case), np.float64)
    expected = in_process_vectors[:, :CUT].astype(np.float64)
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= TOLERANCE


@pytest.mark.parametrize(("program", "case"), TASKS)
def test_vectors_are_for_the_task_that_the_client_names(
    program: str, case: str, reports: Reports, tasks_client: httpx.Client
) -> None:
    found = np.array(reports.gave(program, case), np.float64)
    asked = TASKS[program, case]
    assert np.abs(found - of_task(tasks_client, asked)).max() <= TOLERANCE
    other = "retrieval.query" if asked == "retrieval.passage" else "retrieval.passage"
    assert np.abs(found - of_task(tasks_client, other)).max() > 1000 * TOLERANCE


def of_task(client: httpx.Client, task: str | None) -> np.ndarray:
    answer = client.post("/v1/embeddings", json={"model": V3, "input": TEXTS, "task": task})
    return np.array([item["embedding"] for item in answer.json()["data"]], np.float64)


def test_float_and_base64_are_the_same_bits(reports: Reports) -> None:
    sent = unpacked(reports.gave("openai_sdk", "openai: base64"))
    for case in ("openai", "openai: float"):
        assert np.array_equal(rows(reports.gave("openai_sdk", case)), sent), case


@pytest.mark.parametrize(
    ("program", "case"),
    [
        ("haystack_packages", "haystack-openai"), ("ollama_sdk", "ollama"), ("cohere_sdk", "cohere-v2"),
        ("langchain_packages", "langchain-openai: text"), ("langchain_packages", "langchain-ollama"),
        ("langchain_packages", "langchain-cohere"), ("llama_index_packages", "llama-index-openai"),
        ("llama_index_packages", "llama-index-cohere"), ("voyage_sdk", "voyageai"),
        ("google_genai_sdk", "google-genai"), ("litellm_package", "litellm-openai"),
    ],
)  # fmt: skip
def test_the_same_request_by_another_client_gives_the_same_bits(program: str, case: str, reports: Reports) -> None:
    assert np.array_equal(rows(reports.gave(program, case)), rows(reports.gave("openai_sdk", "openai")))


@pytest.mark.parametrize(("program", "case"), RANKINGS)
def test_rankings(program: str, case: str, reports: Reports, tasks_client: httpx.Client) -> None:
    body = {"model": RERANKER, "query": QUERY, "documents": TEXTS, "return_documents": False}
    expected = tasks_client.post("/v1/rerank", json=body).json()["results"]
    found = reports.gave(program, case)
    assert [index for index, _ in found] == [row["index"] for row in expected][: len(found)]
    for (_, score), row in zip(found, expected, strict=False):
        assert score == pytest.approx(row["relevance_score"], abs=TOLERANCE)
    assert len(found) >= 3


@pytest.mark.parametrize("program", PLAIN)
def test_every_case_is_looked_at(program: str, reports: Reports) -> None:
    """Those of errors in test_errors.py, others by name in test_answers.py."""
    from tests.clients import test_answers, test_errors

    looked_at = {case for table in (PLAIN, CUTS) for case in table.get(program, [])}
    looked_at |= {case for one, case in (*TASKS, *RANKINGS, *test_answers.CASES) if one == program}
    looked_at |= {"openai: base64"} if program == "openai_sdk" else set()
    looked_at |= {f"{error.client}: {what}" for error in test_errors.ERRORS for what in error.cases}
    assert set(reports.of(program)) <= looked_at
