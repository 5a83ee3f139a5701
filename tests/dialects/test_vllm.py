"""vLLM's own paths: scores of pairs by either kind of model, and pooling in every form."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest

from gateway import errors
from gateway.types import ImageInput, LongDocuments, Overflow, TextInput, TokenInput, Usage, Vocabulary
from tests.support.edge import Edge, edge
from tests.support.instant_models import IMAGE_MODEL, RERANKER, ScriptedModels, image_listing, plain_listing
from tests.support.instant_services import expected_score, expected_token_vectors, expected_vector

ADDRESS = "https://example.org/a.png"
IMAGE = {"content": [{"type": "image_url", "image_url": {"url": ADDRESS}}]}
NAMES = [("queries", "documents"), ("queries", "items"), ("data_1", "data_2"), ("text_1", "text_2")]
SCORES = ["/score", "/score/", "/v1/score", "/v1/score/", "/v1/v1/score"]
USAGE = {"prompt_tokens", "total_tokens", "completion_tokens", "prompt_tokens_details"}


@pytest.fixture(scope="module")
def shared() -> Iterator[Edge]:
    """For tests that leave the services as they are."""
    with edge(max_inputs=4) as running:
        yield running


@pytest.fixture
def own() -> Iterator[Edge]:
    with edge() as running:
        yield running


def post(running: Edge, path: str, **fields: Any) -> httpx.Response:
    return running.client.post(path, json=fields, follow_redirects=False)


def score(running: Edge, queries: Any, documents: Any, **fields: Any) -> httpx.Response:
    return post(running, "/score", queries=queries, documents=documents, **fields)


def scores_of(answer: httpx.Response) -> list[float]:
    body = answer.raise_for_status().json()
    assert [item["index"] for item in body["data"]] == list(range(len(body["data"])))
    assert {item["object"] for item in body["data"]} == {"score"}
    return [item["score"] for item in body["data"]]


def check_error(answer: httpx.Response, status: int, kind: str, param: str | None = None) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    body = answer.json()
    assert list(body) == ["error"]
    error: dict[str, Any] = body["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert (error["type"], error["code"], error["param"]) == (kind, status, param)
    return error


def cosine(one: str, other: str) -> float:
    vectors = (expected_vector(TextInput(text)).astype(np.float64) for text in (one, other))
    return float(np.dot(*vectors))


def logit(query: str, document: str) -> float:
    value = np.float64(expected_score(query, document))
    return float(np.log(value) - np.log1p(-value))


@pytest.mark.parametrize("path", SCORES)
@pytest.mark.parametrize(("one", "other"), NAMES)
def test_every_name_of_the_pairs_on_every_spelling_of_the_path(shared: Edge, path: str, one: str, other: str) -> None:
    answer = post(shared, path, **{one: "q", other: ["a", "b"]})
    assert scores_of(answer) == pytest.approx([float(expected_score("q", text)) for text in "ab"])


@pytest.mark.parametrize("model", [None, RERANKER, "acme/Tiny-Reranker"])
@pytest.mark.parametrize(
    ("queries", "documents", "pairs"),
    [
        ("q", "a", ["qa"]),
        (["q"], "a", ["qa"]),
        ("q", ["a", "b"], ["qa", "qb"]),
        (["q", "r"], ["a", "b"], ["qa", "rb"]),
        (["q", "r", "q"], ["a", "b", "b"], ["qa", "rb", "qb"]),
        ([{"content": [{"type": "text", "text": "q"}]}], {"text": "a"}, ["qa"]),
    ],
)
def test_a_reranker_scores_each_pair(
    shared: Edge, model: str | None, queries: Any, documents: Any, pairs: list[str]
) -> None:
    answer = score(shared, queries, documents, model=model)
    assert scores_of(answer) == pytest.approx([float(expected_score(*pair)) for pair in pairs])


def test_the_answer(shared: Edge) -> None:
    answer = score(shared, "q", ["a", "b"])
    body = answer.json()
    assert set(body) == {"id", "object", "created", "model", "data", "usage"}
    assert body["id"] == f"score-{answer.headers['x-request-id']}"
    assert (body["object"], body["model"]) == ("list", RERANKER)
    assert body["created"] > 1_700_000_000
    assert body["usage"] == {
        "prompt_tokens": 2, "total_tokens": 2, "completion_tokens": 0, "prompt_tokens_details": None,
    }  # fmt: skip


def test_pairs_of_one_query_go_to_the_reranker_together(own: Edge) -> None:
    scores_of(score(own, ["q", "r", "q"], ["a", "b", "c"]))
    assert sorted((seen.query, tuple(seen.documents)) for seen in own.services.reranker.seen) == [
        ("q", ("a", "c")), ("r", ("b",)),
    ]  # fmt: skip


def test_raw_scores_are_logits(shared: Edge) -> None:
    raw = scores_of(score(shared, "q", ["a", "b"], use_activation=False))
    assert raw == pytest.approx([logit("q", text) for text in "ab"], rel=1e-5)
    assert scores_of(score(shared, "q", ["a"], use_activation=True)) == pytest.approx([float(expected_score("q", "a"))])


def test_an_embedding_model_scores_by_the_cosine(shared: Edge) -> None:
    many = score(shared, "q", ["a", "q"], model="tiny")
    assert scores_of(many) == pytest.approx([cosine("q", "a"), 1.0], abs=1e-6)
    pairs = score(shared, ["q", "r"], ["a", "b"], model="tiny")
    assert scores_of(pairs) == pytest.approx([cosine("q", "a"), cosine("r", "b")], abs=1e-6)
    assert pairs.json()["model"] == "tiny"
    assert pairs.json()["usage"]["total_tokens"] == 4
    assert all(-1 <= value <= 1 for value in scores_of(score(shared, "q", ["q"] * 4, model="tiny")))


def test_where_no_reranker_is_served_the_default_model_scores() -> None:
    with edge(ScriptedModels((plain_listing(),))) as running:
        assert scores_of(score(running, "q", "a")) == pytest.approx([cosine("q", "a")], abs=1e-6)


def test_an_image_is_compared_by_a_model_that_reads_it(shared: Edge) -> None:
    image, text = ImageInput(url=ADDRESS), TextInput("a")
    expected = float(expected_vector(image).astype(np.float64) @ expected_vector(text).astype(np.float64))
    assert scores_of(score(shared, IMAGE, "a", model=IMAGE_MODEL)) == pytest.approx([expected], abs=1e-6)
    assert scores_of(score(shared, "a", {"image": ADDRESS}, model=IMAGE_MODEL)) == pytest.approx([expected], abs=1e-6)
    error = check_error(score(shared, "q", ["a", IMAGE], model=RERANKER), 400, "BadRequestError", "documents")
    assert "text only" in error["message"]


def test_names_say_the_sides_of_a_search_unless_the_request_does(own: Edge) -> None:
    def sides(**fields: Any) -> list[tuple[str | None, str | None]]:
        own.services.embedder.seen.clear()
        scores_of(post(own, "/score", model="tiny", **fields))
        return [(seen.task, seen.side) for seen in own.services.embedder.seen]

    assert sides(queries="a", documents="b") == [(None, "query"), (None, "document")]
    assert sides(queries="a", items="b") == [(None, "query"), (None, "document")]
    assert sides(text_1="a", text_2="b") == [(None, None)] * 2
    assert sides(data_1="a", data_2="b") == [(None, None)] * 2
    assert sides(queries="a", documents="b", task="text-matching") == [("text-matching", None)] * 2
    assert sides(queries="a", documents="b", input_type="document") == [(None, "document")] * 2


def test_what_is_too_long(own: Edge) -> None:
    def seen(**fields: Any) -> Any:
        scores_of(score(own, "q", "a", **fields))
        return own.services.reranker.seen[-1] if "model" not in fields else own.services.embedder.seen[-1]

    left_alone = seen()
    assert (left_alone.long_documents, left_alone.max_pair_tokens, left_alone.max_document_tokens) == (None, None, None)
    assert (seen(truncate_prompt_tokens=-1).long_documents, seen(truncate_prompt_tokens=-1).max_pair_tokens) == (
        LongDocuments.TRUNCATE, None,
    )  # fmt: skip
    cut = seen(truncate_prompt_tokens=64, max_tokens_per_doc=5)
    assert (cut.long_documents, cut.max_pair_tokens, cut.max_document_tokens) == (LongDocuments.TRUNCATE, 64, 5)
    assert seen(max_tokens_per_doc=0, max_tokens_per_query=0).max_document_tokens is None
    assert (seen(model="tiny").overflow, seen(model="tiny").max_input_tokens) == (Overflow.REFUSE, None)
    ends = seen(model="tiny", truncate_prompt_tokens=9, truncation_side="left")
    assert (ends.overflow, ends.max_input_tokens) == (Overflow.TRUNCATE_START, 9)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({}, "queries"),
        ({"queries": "q"}, "documents"),
        ({"documents": ["a"]}, "queries"),
        ({"queries": [], "documents": ["a"]}, "queries"),
        ({"queries": "q", "documents": []}, "documents"),
        ({"queries": "q", "documents": [1]}, "documents"),
        ({"queries": 1, "documents": "a"}, "queries"),
        ({"queries": "q", "documents": [["a"]]}, "documents"),
        ({"queries": ["q", "r"], "documents": ["a", "b", "c"]}, "queries"),
        ({"queries": ["q", "r"], "documents": "a"}, "queries"),
        ({"text_1": "q", "text_2": None}, "text_2"),
        ({"text_1": "q", "data_2": "a"}, "text_2"),
        ({"queries": "q", "documents": ["a"] * 5}, "documents"),
        ({"queries": "q", "documents": "a", "truncate_prompt_tokens": 0}, "truncate_prompt_tokens"),
        ({"queries": "q", "documents": "a", "truncation_side": "left"}, "truncation_side"),
        ({"queries": "q", "documents": "a", "max_tokens_per_query": 3}, "max_tokens_per_query"),
        ({"queries": "q", "documents": "a", "model": "tiny", "max_tokens_per_doc": 3}, "max_tokens_per_doc"),
        ({"queries": "q", "documents": "a", "max_tokens_per_doc": -1}, "max_tokens_per_doc"),
        ({"queries": "q", "documents": "a", "use_activation": "yes"}, "use_activation"),
        ({"queries": "q", "documents": "a", "model": 7}, "model"),
    ],
)
def test_refused_scores(shared: Edge, fields: dict[str, Any], param: str) -> None:
    check_error(post(shared, "/score", **fields), 400, "BadRequestError", param)


@pytest.mark.parametrize("path", ["/score", "/pooling"])
def test_errors_are_vllms(own: Edge, path: str) -> None:
    fields: dict[str, Any] = {"queries": "q", "documents": "a", "input": "a", "model": "tiny"}
    check_error(post(own, path, **fields | {"model": "none-such"}), 404, "NotFoundError", "model")
    own.services.embedder.error = errors.Overloaded("Full.", retry_after_seconds=3)
    full = post(own, path, **fields)
    check_error(full, 429, "Too Many Requests")
    assert full.headers["retry-after"] == "3"
    own.services.embedder.error = RuntimeError("never told")
    assert "never told" not in check_error(post(own, path, **fields), 500, "InternalServerError")["message"]
    own.services.embedder.error = errors.EngineUnavailable("Away.")
    check_error(post(own, path, **fields), 503, "Service Unavailable")
    check_error(own.client.post(path, content=b"{"), 400, "BadRequestError")


def test_a_model_that_is_not_served_is_asked_for_all_the_same(own: Edge) -> None:
    """Whoever is asked may bring it."""
    own.services.embedder.error = errors.EngineUnavailable("It is being brought.", code="model_on_its_way")
    check_error(score(own, "q", "a", model="later"), 503, "Service Unavailable")
    own.services.embedder.error = errors.InvalidField("A reranker.", param="model", code="wrong_model_kind")
    own.services.reranker.error = errors.EngineUnavailable("It is being brought too.")
    assert "too" in check_error(score(own, "q", "a", model="later"), 503, "Service Unavailable")["message"]
    check_error(score(own, "q", "a", model="tiny"), 400, "BadRequestError", "model")


def test_a_keys_model_scores_where_the_request_names_none(tmp_path: Any) -> None:
    keys = tmp_path / "keys"
    keys.write_text("embedding model=tiny\nranking model=tiny-reranker\nplain\n")
    with edge(api_keys_file=keys) as running:
        models = {
            key: running.client.post(
                "/score", json={"queries": "q", "documents": "a"}, headers={"authorization": f"Bearer {key}"}
            ).json()["model"]
            for key in ("embedding", "ranking", "plain")
        }
    assert models == {"embedding": "tiny", "ranking": RERANKER, "plain": RERANKER}


# Pooling.


def pool(running: Edge, **fields: Any) -> httpx.Response:
    return post(running, "/pooling", **fields)


@pytest.mark.parametrize("path", ["/pooling", "/pooling/", "/v1/pooling"])
@pytest.mark.parametrize("task", [None, "embed", "EMBED", ""])
def test_a_vector_an_input(shared: Edge, path: str, task: str | None) -> None:
    answer = post(shared, path, input=["a", "b"], task=task)
    body = answer.raise_for_status().json()
    assert set(body) == {"id", "object", "created", "model", "data", "usage"}
    assert body["id"] == f"pooling-{answer.headers['x-request-id']}"
    assert (body["object"], body["model"]) == ("list", "tiny")
    assert set(body["usage"]) == USAGE
    for index, (item, text) in enumerate(zip(body["data"], "ab", strict=True)):
        assert (item["index"], item["object"]) == (index, "pooling")
        assert np.array_equal(np.asarray(item["data"], np.float32), expected_vector(TextInput(text)))


def test_a_vector_a_token(shared: Edge) -> None:
    plain = pool(shared, input=["one two", "three"], model=IMAGE_MODEL, task="token_embed").raise_for_status().json()
    coded = pool(
        shared, input=["one two", "three"], model=IMAGE_MODEL, task="token_embed", encoding_format="base64"
    ).json()
    for text, item, code in zip(["one two", "three"], plain["data"], coded["data"], strict=True):
        expected = expected_token_vectors(TextInput(text))
        assert np.array_equal(np.asarray(item["data"], np.float32), expected)
        read = np.frombuffer(base64.b64decode(code["data"], validate=True), "<f4")
        assert np.array_equal(read.reshape(expected.shape), expected)


@pytest.mark.parametrize(
    ("fields", "dtype"),
    [
        ({}, "<f4"),
        ({"embed_dtype": "float32", "endianness": "big"}, ">f4"),
        ({"embed_dtype": "float16"}, "<f2"),
        ({"embed_dtype": "float16", "endianness": "big"}, ">f2"),
    ],
)
def test_base64_in_the_type_and_order_asked_for(shared: Edge, fields: dict[str, Any], dtype: str) -> None:
    body = pool(shared, input="a", encoding_format="base64", **fields).raise_for_status().json()
    read = np.frombuffer(base64.b64decode(body["data"][0]["data"], validate=True), dtype)
    assert np.array_equal(read, expected_vector(TextInput("a")).astype(dtype))


def test_bytes_of_token_vectors_have_their_shapes_in_the_header(shared: Edge) -> None:
    texts = ["one two", "three"]
    answer = pool(shared, input=texts, model=IMAGE_MODEL, task="token_embed", encoding_format="bytes")
    assert answer.headers["content-type"] == "application/octet-stream"
    about = json.loads(answer.headers["metadata"])
    for text, item in zip(texts, about["data"], strict=True):
        read = np.frombuffer(answer.content[item["start"] : item["end"]], "<f4").reshape(item["shape"])
        assert np.array_equal(read, expected_token_vectors(TextInput(text)))


def test_ids_are_of_the_models_own_vocabulary_unless_said_otherwise(own: Edge) -> None:
    pool(own, input=[1, 2]).raise_for_status()
    pool(own, input=[[1], [2]], token_vocabulary="cl100k_base").raise_for_status()
    plain, foreign = own.services.embedder.seen
    assert plain.inputs == (TokenInput((1, 2), Vocabulary.MODEL),)
    assert foreign.inputs == tuple(TokenInput((one,), Vocabulary.CL100K_BASE) for one in (1, 2))


def test_pooling_fields_reach_the_service(own: Edge) -> None:
    pool(own, messages=[{"role": "user", "content": "a"}], task="retrieval.query", dimensions=8).raise_for_status()
    pool(own, input="a", use_activation=False, truncate_prompt_tokens=5, truncation_side="left").raise_for_status()
    chat, cut = own.services.embedder.seen
    assert (chat.inputs, chat.task, chat.dimensions) == ((TextInput("a"),), "retrieval.query", 8)
    assert (cut.normalised, cut.overflow, cut.max_input_tokens) == (False, Overflow.TRUNCATE_START, 5)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({}, "input"),
        ({"input": []}, "input"),
        ({"input": 1}, "input"),
        ({"input": "a", "task": "classify"}, "task"),
        ({"input": "a", "task": "token_classify"}, "task"),
        ({"input": "a", "task": "plugin"}, "task"),
        ({"input": "a", "task": 1}, "task"),
        ({"input": "a", "task": "token_embed"}, "return_multivector"),
        ({"input": "a", "encoding_format": "binary"}, "encoding_format"),
        ({"input": "a", "encoding_format": ["float", "base64"]}, "encoding_format"),
        ({"input": "a", "encoding_format": "hex"}, "encoding_format"),
        ({"input": "a", "encoding_format": "bytes", "embed_dtype": "float64"}, "embed_dtype"),
        ({"input": "a", "encoding_format": "base64", "endianness": "middle"}, "endianness"),
        ({"input": "a", "add_special_tokens": False}, "add_special_tokens"),
        ({"input": ["a"] * 5}, "input"),
        ({"messages": [], "model": IMAGE_MODEL}, "messages"),
    ],
)
def test_refused_pooling(shared: Edge, fields: dict[str, Any], param: str) -> None:
    check_error(pool(shared, **fields), 400, "BadRequestError", param)


def test_large_answers_are_made_in_a_thread_and_are_the_same() -> None:
    with edge(ScriptedModels((image_listing(),))) as running:
        texts = [f"text {number}" for number in range(300)]
        body = pool(running, input=texts).raise_for_status().json()
        raw = pool(running, input=texts, encoding_format="bytes_only").raise_for_status()
        scores = scores_of(score(running, "q", texts))
    vectors = np.stack([expected_vector(TextInput(text)) for text in texts])
    assert np.array_equal(np.array([item["data"] for item in body["data"]], np.float32), vectors)
    assert np.array_equal(np.frombuffer(raw.content, "<f4").reshape(vectors.shape), vectors)
    assert len(scores) == 300
    assert Usage(300, 300).total_tokens == body["usage"]["total_tokens"]
