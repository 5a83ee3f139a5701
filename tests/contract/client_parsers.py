"""Reads answers as the clients do whose requests are recorded here: what each insists on, and in which order it looks.

Written from the clients' documented behaviour, not from the gateway's code. A parser takes the answer and gives vectors
[inputs, size], bits [inputs, size], a ranking, or the sentence that the client shows when something is wrong.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx
import numpy as np

OVERFLOW_PHRASE = "Please reduce your prompt; or completion length."


@dataclass(frozen=True)
class Ranking:
    """Documents are None where the client does not look at them."""

    indices: list[int]
    scores: list[float]
    documents: list[str] | None = None


def floats_in_order(answer: httpx.Response) -> np.ndarray:
    """Elasticsearch and most others: lists of numbers, in the order of the array, whatever `index` says."""
    return np.array([_numbers(item["embedding"]) for item in answer.json()["data"]], np.float32)


def floats_sorted_by_index(answer: httpx.Response) -> np.ndarray:
    data = sorted(answer.json()["data"], key=lambda item: int(item["index"]))
    return np.array([_numbers(item["embedding"]) for item in data], np.float32)


def strict_base64(answer: httpx.Response) -> np.ndarray:
    """Elasticsearch's `openai` and OpenAI's SDKs: padded standard alphabet, little-endian float32, in array order."""
    rows = []
    for item in answer.json()["data"]:
        text = item["embedding"]
        assert isinstance(text, str)
        assert re.fullmatch(r"[A-Za-z0-9+/]+={0,2}", text)
        raw = base64.b64decode(text, validate=True)
        assert len(raw) % 4 == 0
        rows.append(np.frombuffer(raw, "<f4"))
    return np.array(rows)


def openai_python_embeddings(answer: httpx.Response) -> np.ndarray:
    """OpenAI's SDK for Python: decodes what is a string, takes anything else as it is, and nothing for an error."""
    data = answer.json()["data"]
    assert data
    rows = [item["embedding"] for item in data]
    return np.array(
        [np.frombuffer(base64.b64decode(row), "<f4") if isinstance(row, str) else _numbers(row) for row in rows],
        np.float32,
    )


def openai_shape(answer: httpx.Response) -> np.ndarray:
    """LiteLLM and openai-java, which build objects with every field that OpenAI's specification has."""
    body = answer.json()
    assert body["object"] == "list"
    assert isinstance(body["model"], str)
    assert {"prompt_tokens", "total_tokens"} <= set(body["usage"])
    assert all(type(count) is int for count in body["usage"].values())
    assert [item["index"] for item in body["data"]] == list(range(len(body["data"])))
    assert {item["object"] for item in body["data"]} == {"embedding"}
    return floats_in_order(answer)


def model_ids(answer: httpx.Response) -> list[str]:
    """OpenAI's SDKs, Open WebUI: what there is to choose from."""
    body = answer.json()
    assert body["object"] == "list"
    for model in body["data"]:
        assert model["object"] == "model"
        assert type(model["created"]) is int
        assert isinstance(model["owned_by"], str)
    return [str(model["id"]) for model in body["data"]]


def model_id(answer: httpx.Response) -> list[str]:
    assert answer.json()["object"] == "model"
    return [str(answer.json()["id"])]


def models_that_embed(answer: httpx.Response) -> list[str]:
    """n8n offers no model whose id has not "embed" in it."""
    return [name for name in model_ids(answer) if "embed" in name]


def signed_bits_in_order(answer: httpx.Response) -> np.ndarray:
    """Elasticsearch's `jinaai` for bit vectors: whole numbers from -128 to 127, which it stores as they are."""
    return np.array([_signed_bits(item["embedding"]) for item in answer.json()["data"]])


def signed_bits_sorted_by_index(answer: httpx.Response) -> np.ndarray:
    data = sorted(answer.json()["data"], key=lambda item: item["index"])
    return np.array([_signed_bits(item["embedding"]) for item in data])


def unsigned_bits_sorted_by_index(answer: httpx.Response) -> np.ndarray:
    data = sorted(answer.json()["data"], key=lambda item: item["index"])
    return np.array([np.unpackbits(np.array(item["embedding"], np.uint8)) == 1 for item in data])


def langchain_embeddings(answer: httpx.Response) -> np.ndarray:
    """Ignores the status: whatever has no `data` is an error, worded by `detail`."""
    body = answer.json()
    assert "data" in body, body["detail"]
    return floats_sorted_by_index(answer)


def haystack_embeddings(answer: httpx.Response) -> np.ndarray:
    """Copies `model` and `usage` into its own answer and sums the usage up over batches."""
    body = answer.json()
    assert isinstance(body["model"], str)
    assert all(isinstance(count, int) for count in body["usage"].values())
    return floats_sorted_by_index(answer)


def vercel_embeddings(answer: httpx.Response) -> np.ndarray:
    """Checks the answer against a schema before it looks at it."""
    body = answer.json()
    assert {item["object"] for item in body["data"]} == {"embedding"}
    assert isinstance(body["usage"]["total_tokens"], int)
    assert isinstance(body["usage"]["prompt_tokens"], int)
    assert isinstance(body["model"], str)
    return floats_in_order(answer)


def dify_embeddings(answer: httpx.Response) -> np.ndarray:
    body = answer.json()
    assert body["usage"]["total_tokens"] > 0
    return np.array([[float(value) for value in item["embedding"]] for item in body["data"]], np.float32)


def ranking(answer: httpx.Response) -> Ranking:
    """LlamaIndex, Haystack, LangChain, Dify, Open WebUI: index and score of each result."""
    results = answer.json()["results"]
    return Ranking([result["index"] for result in results], [float(result["relevance_score"]) for result in results])


def ranking_with_documents(answer: httpx.Response) -> Ranking:
    """Elasticsearch's `jinaai`: the document is a string or an object with a `text`."""
    plain = ranking(answer)
    documents = [result["document"] for result in answer.json()["results"]]
    texts = [document if isinstance(document, str) else document["text"] for document in documents]
    return Ranking(plain.indices, plain.scores, texts)


def classes(answer: httpx.Response) -> list[str]:
    body = answer.json()
    assert body["usage"]["total_tokens"] > 0
    for item in body["data"]:
        scores = {prediction["label"]: prediction["score"] for prediction in item["predictions"]}
        assert item["object"] == "classification"
        assert item["score"] == scores[item["prediction"]] == max(scores.values())
        assert abs(sum(scores.values()) - 1) < 1e-5
    return [item["prediction"] for item in body["data"]]


def segments(answer: httpx.Response) -> list[str]:
    body = answer.json()
    assert body["num_tokens"] > 0
    assert body["num_chunks"] == len(body["chunks"]) == len(body["chunk_positions"])
    return list(body["chunks"])


def detail(answer: httpx.Response) -> str:
    """LangChain, Dify, Elasticsearch's `jinaai`: a string, anything else would be shown as it is."""
    return _sentence(answer.json()["detail"])


def error_message(answer: httpx.Response) -> str:
    """The Vercel AI SDK and OpenAI's clients."""
    return _sentence(answer.json()["error"]["message"])


def overflow_to_halve(answer: httpx.Response) -> str:
    """Elasticsearch's `openai` halves a text and sends it again when the message holds this phrase, word for word."""
    message = error_message(answer)
    assert OVERFLOW_PHRASE in message
    return message


def ollama_embeddings(answer: httpx.Response) -> np.ndarray:
    """ollama-python and ollama-js: durations are whole nanoseconds, where they are there."""
    body = answer.json()
    assert isinstance(body["model"], str)
    for name in ("total_duration", "load_duration", "prompt_eval_count"):
        assert type(body.get(name, 0)) is int
    return np.array([_numbers(row) for row in body["embeddings"]], np.float32)


def ollama_embedding(answer: httpx.Response) -> np.ndarray:
    return np.array([_numbers(answer.json()["embedding"])], np.float32)


def ollama_show(answer: httpx.Response) -> dict[str, Any]:
    """Continue: looks through texts of the model file and its template, which may be empty, and at what it can do."""
    body = answer.json()
    assert isinstance(body.get("parameters", ""), str)
    assert isinstance(body.get("template", ""), str)
    assert "embedding" in body["capabilities"]
    family = body["model_info"]["general.architecture"]
    assert type(body["model_info"][f"{family}.context_length"]) is int
    return dict(body["details"])


def alive(answer: httpx.Response) -> None:
    """AnythingLLM: any answer that is none of an error will do; to HEAD it has no body."""
    assert answer.content == b""


def ollama_not_found(answer: httpx.Response) -> str:
    """Clients that pull a model by themselves look for these words."""
    message = _sentence(answer.json()["error"])
    assert "not found, try pulling it first" in message
    return message


def cohere_floats(answer: httpx.Response) -> np.ndarray:
    """The SDK tells its two forms apart by `response_type` alone."""
    body = answer.json()
    assert body["response_type"] == "embeddings_floats"
    _check_cohere(body)
    return np.array([_numbers(row) for row in body["embeddings"]], np.float32)


def cohere_by_type(answer: httpx.Response) -> np.ndarray:
    body = answer.json()
    assert body["response_type"] == "embeddings_by_type"
    _check_cohere(body)
    return np.array([_numbers(row) for row in body["embeddings"]["float"]], np.float32)


def cohere_ranking(answer: httpx.Response) -> Ranking:
    """The first API's documents are objects."""
    results = answer.json()["results"]
    return Ranking(
        [row["index"] for row in results],
        [row["relevance_score"] for row in results],
        [row["document"]["text"] for row in results],
    )


def elastic_cohere_embeddings(answer: httpx.Response) -> np.ndarray:
    """Elasticsearch's `cohere` looks for `embeddings`, and in it for a type that it knows."""
    [(kind, rows)] = answer.json()["embeddings"].items()
    assert kind == "float"
    return np.array([_numbers(row) for row in rows], np.float32)


def elastic_cohere_ranking(answer: httpx.Response) -> Ranking:
    """Elasticsearch's `cohere` goes from token to token: in a document it steps over an opening brace and a name
    without looking at them, and a field that it does not know is an error."""
    results = answer.json()["results"]
    documents = [row["document"] for row in results if "document" in row]
    assert all(set(row) <= {"index", "relevance_score", "document"} for row in results)
    assert all(isinstance(document, dict) and list(document) == ["text"] for document in documents)
    texts = [str(document["text"]) for document in documents]
    assert len(texts) in (0, len(results))
    return Ranking([row["index"] for row in results], [row["relevance_score"] for row in results], texts or None)


def cohere_message(answer: httpx.Response) -> str:
    return _sentence(answer.json()["message"])


def rows(answer: httpx.Response) -> np.ndarray:
    """TEI's clients: a bare list of vectors, also for one text."""
    return np.array([_numbers(row) for row in answer.json()], np.float32)


def tei_ranking(answer: httpx.Response) -> Ranking:
    """A bare list, the best first; each with its text where it was asked for."""
    ranks = answer.json()
    texts = [str(rank["text"]) for rank in ranks if rank.get("text") is not None]
    assert len(texts) in (0, len(ranks))
    return Ranking([rank["index"] for rank in ranks], [float(rank["score"]) for rank in ranks], texts or None)


def tei_info(answer: httpx.Response) -> dict[str, Any]:
    """Continue, Dify: the model's name, and how much may be sent at once."""
    body = answer.json()
    assert isinstance(body["model_id"], str)
    assert body["model_type"]
    assert type(body["max_input_length"]) is int
    assert body["max_client_batch_size"] > 0
    return dict(body)


def tei_tokens(answer: httpx.Response) -> list[int]:
    """Dify counts them, a list a text."""
    counts = [len(tokens) for tokens in answer.json()]
    assert all(type(token["id"]) is int for tokens in answer.json() for token in tokens)
    assert min(counts) > 0
    return counts


def tei_error(answer: httpx.Response) -> str:
    assert answer.json()["error_type"] == "Validation"
    return _sentence(answer.json()["error"])


PARSERS: dict[str, Callable[[httpx.Response], Any]] = {
    parse.__name__: parse
    for parse in (
        floats_in_order, floats_sorted_by_index, strict_base64, signed_bits_in_order, signed_bits_sorted_by_index,
        unsigned_bits_sorted_by_index, langchain_embeddings, haystack_embeddings, vercel_embeddings, dify_embeddings,
        ranking, ranking_with_documents, classes, segments, detail, error_message, overflow_to_halve,
        ollama_embeddings, ollama_embedding, ollama_not_found, cohere_floats, cohere_by_type, cohere_ranking,
        cohere_message, openai_python_embeddings, openai_shape, model_ids, model_id, models_that_embed, ollama_show,
        alive, rows, tei_ranking, tei_info, tei_tokens, tei_error, elastic_cohere_embeddings, elastic_cohere_ranking,
    )
}  # fmt: skip


def _check_cohere(body: dict[str, Any]) -> None:
    assert isinstance(body["id"], str)
    assert isinstance(body["meta"]["api_version"]["version"], str)
    assert body["meta"]["billed_units"]["input_tokens"] > 0


def _numbers(value: Any) -> list[float]:
    assert isinstance(value, list)
    assert all(isinstance(number, int | float) for number in value)
    return value


def _signed_bits(value: Any) -> np.ndarray:
    assert all(isinstance(number, int) and -128 <= number <= 127 for number in value)
    return np.unpackbits((np.array(value, np.int16) + 128).astype(np.uint8)) == 1


def _sentence(value: Any) -> str:
    assert isinstance(value, str)
    assert len(value) > 10
    return value
