"""TEI's API inside the edge: its shapes and headers, what it reads, the paths that it shares, and its errors."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest

from gateway import errors
from gateway.dialects.tei_fields import compute_headers
from gateway.types import LongDocuments, Overflow, StageSeconds, TextInput, TokenInput, Usage, Vocabulary
from tests.support.edge import Edge, edge
from tests.support.instant_models import IMAGE_MODEL, RERANKER, ScriptedModels, reranker_listing
from tests.support.instant_services import expected_score, expected_token_vectors, expected_vector

KEY = "key-1"
HEADERS = {
    "x-compute-type", "x-compute-time", "x-compute-characters", "x-compute-tokens", "x-total-time",
    "x-tokenization-time", "x-queue-time", "x-inference-time",
}  # fmt: skip


@pytest.fixture(scope="module")
def shared() -> Iterator[Edge]:
    """For tests that leave the services as they are."""
    with edge(max_inputs=32) as running:
        yield running


@pytest.fixture
def own() -> Iterator[Edge]:
    with edge() as running:
        yield running


def post(running: Edge, path: str, **fields: Any) -> httpx.Response:
    return running.client.post(path, json=fields)


def check_error(answer: httpx.Response, status: int, kind: str) -> str:
    """TEI's error and nothing else; returns its sentence."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    body = answer.json()
    assert set(body) == {"error", "error_type"}
    assert body["error_type"] == kind
    assert isinstance(body["error"], str)
    assert body["error"]
    return str(body["error"])


def own_ids(*ids: int) -> TokenInput:
    return TokenInput(ids, Vocabulary.MODEL)


@pytest.mark.parametrize(
    ("inputs", "meant"),
    [
        ("one", [TextInput("one")]),
        (["one"], [TextInput("one")]),
        (["one", "", "two"], [TextInput("one"), TextInput(""), TextInput("two")]),
        ([1, 2, 3], [own_ids(1, 2, 3)]),
        ([[1, 2], [3]], [own_ids(1, 2), own_ids(3)]),
        (["one", [1, 2]], [TextInput("one"), own_ids(1, 2)]),
        ([[1], "one"], [own_ids(1), TextInput("one")]),
    ],
)
@pytest.mark.parametrize("path", ["/embed", "/embed/", "/", "/invocations"])
def test_a_list_of_vectors_whatever_the_form_of_the_inputs(
    shared: Edge, path: str, inputs: Any, meant: list[Any]
) -> None:
    answer = post(shared, path, inputs=inputs)
    vectors = np.stack([expected_vector(item) for item in meant])
    assert np.array_equal(np.asarray(answer.json(), np.float32), vectors)


def test_headers_tell_what_it_took(shared: Edge) -> None:
    calls = [
        ("/embed", {"inputs": ["one", "two"]}, 6),
        ("/embed_all", {"inputs": "one", "model": IMAGE_MODEL}, 3),
        ("/rerank", {"query": "q", "texts": ["one"]}, 4),
        ("/predict", {"inputs": ["q", "one"]}, 4),
        ("/similarity", {"inputs": {"source_sentence": "q", "sentences": ["one"]}}, 4),
    ]
    for path, fields, characters in calls:
        headers = post(shared, path, **fields).headers
        assert set(headers) >= HEADERS
        assert int(headers["x-compute-characters"]) == characters
        assert int(headers["x-compute-tokens"]) >= 1
        assert all(headers[name].isdigit() for name in HEADERS - {"x-compute-type"})


def test_the_time_of_a_call_is_all_of_it_under_both_names() -> None:
    stages = StageSeconds(tokenize=0.25, queue=0.5, infer=1.0)
    headers = dict(compute_headers(characters=1, usage=Usage(1, 1), stages=stages, seconds=2.0))
    assert (headers[b"x-compute-time"], headers[b"x-total-time"]) == (b"2000", b"2000")
    assert (headers[b"x-tokenization-time"], headers[b"x-queue-time"], headers[b"x-inference-time"]) == (
        b"250", b"500", b"1000",
    )  # fmt: skip


def test_fields_reach_the_service(own: Edge) -> None:
    post(own, "/embed", inputs="a", normalize=False, dimensions=8, prompt_name="query", truncate=False)
    post(own, "/embed", inputs="a", truncation_direction="left", model="tiny")
    post(own, "/embed", inputs="a", truncation_direction="Right", truncate=True, normalize=None, prompt_name=None)
    post(own, "/", inputs="a", parameters={"normalize": False, "truncate": False})
    first, left, right, wrapped = own.services.embedder.seen
    assert (first.normalised, first.dimensions, first.side) == (False, 8, "query")
    assert (first.overflow, first.model, first.texts_only) == (Overflow.REFUSE, None, True)
    assert (left.overflow, left.model) == (Overflow.TRUNCATE_START, "tiny")
    assert (right.overflow, right.normalised, right.side) == (Overflow.TRUNCATE, True, None)
    assert (wrapped.normalised, wrapped.overflow) == (False, Overflow.REFUSE)


def test_a_vector_for_each_token(shared: Edge) -> None:
    body = post(shared, "/embed_all", inputs=["one two", "three"], model=IMAGE_MODEL).json()
    for rows, text in zip(body, ["one two", "three"], strict=True):
        assert np.array_equal(np.asarray(rows, np.float32), expected_token_vectors(TextInput(text)))


def test_a_model_without_token_vectors_says_so(own: Edge) -> None:
    own.services.embedder.error = errors.InvalidField("None here.", param="x", code="multi_vector_unavailable")
    check_error(post(own, "/embed_all", inputs="a"), 424, "Backend")


def test_similarity(shared: Edge) -> None:
    inputs = {"source_sentence": "q", "sentences": ["a", "q"]}
    for path in ("/similarity", "/", "/invocations"):
        cosines = post(shared, path, inputs=inputs, parameters={"truncate": True}).json()
        one, other = (expected_vector(TextInput(text)) for text in "qa")
        assert cosines == pytest.approx([float(one @ other), 1.0], abs=1e-6)


def test_parameters_of_similarity_reach_the_service(own: Edge) -> None:
    parameters = {"truncation_direction": "Left", "prompt_name": "query"}
    post(own, "/similarity", inputs={"source_sentence": "a", "sentences": ["b"]}, parameters=parameters)
    [seen] = own.services.embedder.seen
    assert (seen.overflow, seen.side) == (Overflow.TRUNCATE_START, "query")


def logit(query: str, text: str) -> float:
    score = np.float64(expected_score(query, text))
    return float(np.log(score) - np.log1p(-score))


@pytest.mark.parametrize("path", ["/rerank", "/rerank/", "/"])
def test_rerank_with_texts_is_a_bare_list(shared: Edge, path: str) -> None:
    fields = {"query": "q", "texts": ["a", "b", "c"]}
    order = sorted(range(3), key=lambda place: -expected_score("q", "abc"[place]))
    ranks = post(shared, path, **fields, truncate=True, truncation_direction="Right").json()
    assert [set(rank) for rank in ranks] == [{"index", "score"}] * 3
    assert [rank["index"] for rank in ranks] == order
    assert [rank["score"] for rank in ranks] == pytest.approx([expected_score("q", "abc"[place]) for place in order])
    raw = post(shared, path, **fields, raw_scores=True, return_text=True).json()
    assert [rank["text"] for rank in raw] == ["abc"[place] for place in order]
    assert [rank["score"] for rank in raw] == pytest.approx([logit("q", "abc"[place]) for place in order], abs=1e-4)


def test_rerank_with_documents_is_everybody_elses(shared: Edge) -> None:
    for fields in ({"documents": ["a"]}, {"documents": ["a"], "texts": ["b"]}, {"passages": ["a"]}):
        body = post(shared, "/rerank", query="q", **fields).json()
        assert {"id", "results", "meta", "usage", "model", "object"} == set(body)
    assert "results" in post(shared, "/v1/rerank", query="q", texts=["a"]).json()


def test_the_words_of_an_error_follow_the_field(shared: Edge) -> None:
    check_error(post(shared, "/rerank", texts=["a"]), 422, "Validation")
    check_error(post(shared, "/rerank", query="q", texts=[]), 400, "Empty")
    everybodys = post(shared, "/rerank", documents=["a"])
    assert everybodys.status_code == 400
    assert set(everybodys.json()) == {"error", "message", "detail", "code", "request_id"}


def test_what_rerank_asks_of_the_service(own: Edge) -> None:
    for truncate in (None, True, False):
        post(own, "/rerank", query="q", texts=["a"], truncate=truncate)
    assert [seen.long_documents for seen in own.services.reranker.seen] == [
        None,
        LongDocuments.TRUNCATE,
        LongDocuments.CHUNK,
    ]
    check_error(post(own, "/rerank", query="q", texts=["a"], truncation_direction="Left"), 422, "Validation")


def test_predict_scores_pairs(own: Edge) -> None:
    def label(query: str, text: str) -> list[dict[str, Any]]:
        return [{"label": "LABEL_0", "score": pytest.approx(expected_score(query, text))}]

    assert post(own, "/predict", inputs=["q", "a"]).json() == label("q", "a")
    assert post(own, "/predict", inputs=[["q", "a"]]).json() == [label("q", "a")]
    pairs = [["q", "a"], ["r", "b"], ["q", "c"]]
    assert post(own, "/predict", inputs=pairs).json() == [label(*pair) for pair in pairs]
    assert sorted(seen.query for seen in own.services.reranker.seen[2:]) == ["q", "r"]
    [raw] = post(own, "/predict", inputs=["q", "a"], raw_scores=True).json()
    assert raw["score"] == pytest.approx(logit("q", "a"), abs=1e-4)


@pytest.mark.parametrize(
    "inputs", ["a", ["a"], ["a", "b", "c"], [["a", "b"], ["c"]], [["a", "b"], "c"], None, 1, [1, 2]]
)
def test_predict_reads_nothing_but_pairs(shared: Edge, inputs: Any) -> None:
    assert "pairs" in check_error(post(shared, "/predict", inputs=inputs), 422, "Validation")


def test_an_error_in_one_of_the_pairs_is_the_answer(own: Edge) -> None:
    own.services.reranker.error = errors.Overloaded("full")
    check_error(post(own, "/predict", inputs=[["a", "b"], ["c", "d"]]), 429, "Overloaded")


def test_tokenize(shared: Edge) -> None:
    words = [
        {"id": 103, "text": "one", "special": False, "start": 0, "stop": 3},
        {"id": 105, "text": "three", "special": False, "start": 4, "stop": 9},
    ]
    first = {"id": 1, "text": "<s>", "special": True, "start": None, "stop": None}
    last = {"id": 2, "text": "</s>", "special": True, "start": None, "stop": None}
    assert post(shared, "/tokenize", inputs="one three").json() == [[first, *words, last]]
    assert post(shared, "/tokenize", inputs=["one three", ""], add_special_tokens=False).json() == [words, []]
    [tokens] = post(shared, "/tokenize", inputs="a", prompt_name="query", add_special_tokens=False).json()
    assert [token["text"] for token in tokens] == ["query:", "a"]


def test_tokenize_with_a_prompt_is_vllms(shared: Edge) -> None:
    plain = {"count": 3, "max_model_len": 256, "tokens": [1, 103, 2], "token_strs": None}
    assert post(shared, "/tokenize", prompt="one").json() == plain
    fields = {"return_token_strs": True, "add_special_tokens": False, "model": "tiny"}
    named = post(shared, "/tokenize", prompt="one", **fields).json()
    assert named == {"count": 1, "max_model_len": 256, "tokens": [103], "token_strs": ["one"]}


@pytest.mark.parametrize(
    ("path", "fields", "status", "param"),
    [
        ("/tokenize", {"prompt": ["a"]}, 400, "prompt"),
        ("/tokenize", {"prompt": "a", "model": "none"}, 404, "model"),
        ("/tokenize", {"messages": [{"role": "user", "content": "a"}]}, 400, "messages"),
        ("/detokenize", {"tokens": "a"}, 400, "tokens"),
        ("/detokenize", {"tokens": [[1], [2]]}, 400, "tokens"),
        ("/detokenize", {}, 400, "tokens"),
    ],
)
def test_vllms_part_of_these_paths_has_vllms_errors(
    shared: Edge, path: str, fields: dict[str, Any], status: int, param: str
) -> None:
    answer = post(shared, path, **fields)
    assert answer.status_code == status, answer.text
    assert set(answer.json()) == {"error"}
    error = answer.json()["error"]
    assert (set(error), error["code"], error["param"]) == ({"message", "type", "param", "code"}, status, param)


def test_decode(shared: Edge) -> None:
    assert post(shared, "/decode", ids=[1, 103, 2]).json() == ["www"]
    assert post(shared, "/decode", ids=[[1, 101], [102]], skip_special_tokens=False).json() == ["<s> w", "ww"]
    assert post(shared, "/detokenize", tokens=[1, 101]).json() == {"prompt": "<s> w"}
    check_error(post(shared, "/decode", ids=[5000]), 422, "Validation")
    check_error(post(shared, "/decode", ids=[]), 400, "Empty")
    for wrong in (None, "a", ["a"], [1, "a"], [[1], 2], [True], {}, [1.5]):
        check_error(post(shared, "/decode", ids=wrong), 422, "Validation")


def test_info(shared: Edge) -> None:
    body = shared.client.get("/info").json()
    assert body == {
        "model_id": "acme/Tiny-Model",
        "model_sha": "0" * 40,
        "model_dtype": "float32",
        "served_model_name": "tiny",
        "model_type": {"embedding": {"pooling": "mean"}},
        "max_concurrent_requests": 32,
        "max_input_length": 256,
        "max_batch_tokens": 512,
        "max_batch_requests": None,
        "max_client_batch_size": 32,
        "auto_truncate": True,
        "tokenization_workers": 2,
        "version": "1.9.3",
        "sha": None,
        "docker_label": None,
    }
    named = shared.client.get("/info", params={"model": RERANKER}).json()
    assert named["model_type"] == {"reranker": {"id2label": {"0": "LABEL_0"}, "label2id": {"LABEL_0": 0}}}
    check_error(shared.client.get("/info", params={"model": "none"}), 404, "Validation")


def test_info_where_rerankers_alone_are_served() -> None:
    with edge(ScriptedModels((reranker_listing(),))) as running:
        assert running.client.get("/info").json()["served_model_name"] == RERANKER


def test_health_and_ping(own: Edge) -> None:
    for path in ("/health", "/ping"):
        assert own.client.get(path).status_code == 200


def test_vertex_wraps_requests(shared: Edge) -> None:
    instances = [{"inputs": "one"}, {"query": "q", "texts": ["a"]}]
    vectors, ranks = post(shared, "/vertex", instances=instances).json()["predictions"]
    assert np.array_equal(np.asarray(vectors, np.float32), [expected_vector(TextInput("one"))])
    assert ranks[0]["index"] == 0
    check_error(post(shared, "/vertex", instances=[]), 400, "Empty")
    for wrong in (None, {}, ["a"], [{"inputs": "a"}, 1]):
        check_error(post(shared, "/vertex", instances=wrong), 422, "Validation")


def test_sparse_vectors_are_refused(shared: Edge) -> None:
    check_error(post(shared, "/embed_sparse", inputs="a"), 424, "Backend")


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("/embed", {}), ("/embed", {"inputs": None}), ("/embed", {"inputs": 1}), ("/embed", {"inputs": {"a": "b"}}),
        ("/embed", {"inputs": [{"text": "a"}]}), ("/embed", {"inputs": ["a", 1]}), ("/embed", {"inputs": ["a", []]}),
        ("/embed", {"inputs": ["a", [True]]}), ("/embed", {"inputs": [[1], ["a"]]}), ("/embed", {"inputs": [-1]}),
        ("/embed", {"inputs": "a", "truncate": "yes"}), ("/embed", {"inputs": "a", "truncation_direction": "up"}),
        ("/embed", {"inputs": "a", "normalize": 1}), ("/embed", {"inputs": "a", "dimensions": 0}),
        ("/embed", {"inputs": "a", "dimensions": 10_000}), ("/embed", {"inputs": "a", "model": 1}),
        ("/similarity", {"inputs": "a"}), ("/similarity", {"inputs": {"source_sentence": "a"}}),
        ("/similarity", {"inputs": {"sentences": ["a"]}}),
        ("/similarity", {"inputs": {"source_sentence": "a", "sentences": [1]}}),
        ("/tokenize", {}), ("/tokenize", {"inputs": [1]}),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_refused(shared: Edge, path: str, fields: dict[str, Any]) -> None:
    check_error(post(shared, path, **fields), 422, "Validation")


def test_empty_and_too_many_inputs(shared: Edge) -> None:
    for path in ("/embed", "/embed_all", "/predict", "/tokenize", "/"):
        check_error(post(shared, path, inputs=[]), 400, "Empty")
    for path, inputs in (("/embed", ["a"] * 33), ("/embed", [[1]] * 33), ("/predict", [["a", "b"]] * 33),
                         ("/tokenize", ["a"] * 33)):  # fmt: skip
        check_error(post(shared, path, inputs=inputs), 413, "Validation")
    check_error(post(shared, "/decode", ids=[[1]] * 33), 413, "Validation")
    inputs = {"source_sentence": "a", "sentences": ["a"] * 32}
    check_error(post(shared, "/similarity", inputs=inputs), 413, "Validation")


FAILURES = [
    (errors.Overloaded("full", retry_after_seconds=3), 429, "Overloaded"),
    (errors.EngineUnavailable("away"), 503, "Unhealthy"),
    (errors.DeadlineExceeded("late"), 504, "Backend"),
    (errors.InferenceFailed("failed"), 424, "Backend"),
    (errors.InvalidVector("NaN"), 424, "Backend"),
    (errors.InferenceFailed("failed", code="tokenizer_failed"), 422, "Tokenizer"),
    (errors.TokenLimitExceeded("too long", param="input"), 422, "Validation"),
    (errors.InvalidField("a reranker", param="model", code="wrong_model_kind"), 424, "Backend"),
    (ValueError("a defect"), 500, "Backend"),
]


@pytest.mark.parametrize(("error", "status", "kind"), FAILURES, ids=lambda one: getattr(one, "code", None))
@pytest.mark.parametrize("path", ["/embed", "/", "/similarity"])
def test_failures(own: Edge, path: str, error: Exception, status: int, kind: str) -> None:
    own.services.embedder.error = error
    inputs: Any = {"source_sentence": "a", "sentences": ["b"]} if path == "/similarity" else "a"
    answer = post(own, path, inputs=inputs)
    check_error(answer, status, kind)
    assert ("retry-after" in answer.headers) == (status in (429, 503))


def test_unknown_models_and_methods(shared: Edge) -> None:
    for path in ("/embed", "/tokenize"):
        check_error(post(shared, path, inputs="a", model="none"), 404, "Validation")
    check_error(shared.client.get("/embed"), 405, "Validation")


def test_without_a_key_there_are_no_words() -> None:
    with edge(api_keys=(KEY,), max_body_bytes=1000) as running:
        for path in ("/embed", "/embed_all", "/predict", "/similarity", "/tokenize", "/decode", "/vertex"):
            refused = post(running, path, inputs="a")
            assert (refused.status_code, refused.content) == (401, b"")
            assert refused.headers["www-authenticate"] == "Bearer"
        assert (running.client.get("/info").status_code, running.client.get("/ping").status_code) == (401, 200)
        running.client.headers["authorization"] = f"Bearer {KEY}"
        assert post(running, "/embed", inputs="a").status_code == 200
        check_error(post(running, "/embed", inputs="a" * 2000), 413, "Validation")
        for body in (b"", b"[]", b"{"):
            check_error(running.client.post("/embed", content=body), 400, "Validation")


def test_a_request_to_the_front_page_needs_a_key_unless_it_only_looks() -> None:
    with edge(api_keys=(KEY,)) as running:
        assert running.client.get("/").status_code == 200
        assert post(running, "/", inputs="a").status_code == 401
