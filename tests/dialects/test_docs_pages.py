"""The documentation loads nothing from outside and describes what the routes really do."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from gateway.dialects import embeddings_request, rerank_request
from tests.support.edge import Edge, edge
from tests.support.instant_models import IMAGE_MODEL, RERANKER

JINA_GUIDE = Path(__file__).parents[2] / "docs" / "jina-api.md"


@pytest.fixture(scope="module")
def shared() -> Iterator[Edge]:
    with edge() as running:
        yield running


class Loads(HTMLParser):
    """Every address that a page makes the browser fetch, and every script written into the page itself."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.inline_scripts = 0

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        named = dict(attributes)
        self.addresses += [value for key, value in attributes if key in ("src", "href", "spec-url") and value]
        self.inline_scripts += tag == "script" and "src" not in named


@pytest.mark.parametrize("path", ["/docs", "/redoc"])
def test_pages_load_only_files_of_this_server_that_exist(shared: Edge, path: str) -> None:
    page = shared.client.get(path)
    loads = Loads()
    loads.feed(page.text)
    assert loads.inline_scripts == 0
    assert loads.addresses
    for address in loads.addresses:
        assert not re.match(r"\w+:|//", address)
        assert shared.client.get("/" + address).status_code == 200
    assert not re.search(r"(?:https?:)?//[a-z]", page.text)


@pytest.mark.parametrize(
    "path", ["/docs", "/redoc", "/docs-assets/swagger-ui-bundle.js", "/docs-assets/swagger-ui.css"]
)
def test_the_policy_lets_nothing_from_outside_in(shared: Edge, path: str) -> None:
    policy = shared.client.get(path).headers["content-security-policy"]
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'"
    assert rules["script-src"] == "'self'"
    assert rules["connect-src"] == "'self'"
    assert not re.search(r"https?:|\*", policy)


def test_the_start_script_names_files_that_exist(shared: Edge) -> None:
    script = shared.client.get("/docs-assets/start-swagger.js").text
    assert "openapi.json" in script
    assert not re.search(r"(?:https?:)?//", script)


def test_docs_can_be_switched_off() -> None:
    with edge(api_docs=False) as running:
        for path in ("/docs", "/redoc", "/openapi.json", "/docs-assets/swagger-ui.css"):
            assert running.client.get(path).status_code == 404


IMAGE = {"image": "https://example.org/a.png"}
BODIES: dict[str, tuple[str, list[dict[str, Any]]]] = {
    "/v1/rerank": (
        "Rerank",
        [
            {"query": "q", "documents": ["a", {"text": "b"}]},
            {"query": {"text": "q"}, "documents": ["a"], "top_n": 0, "return_documents": False, "truncation": None},
        ],
    ),
    "/v1/classify": (
        "Classify",
        [
            {"input": ["a", {"text": "b"}], "labels": ["x", "y"]},
            {"input": "a", "labels": {"g": ["x"], "h": ["y"]}},
            {"model": IMAGE_MODEL, "input": ["a", IMAGE], "labels": ["x", "y"]},
        ],
    ),
    "/v1/segment": (
        "Segment",
        [{"content": "a b"}, {"content": "a b", "return_tokens": True, "return_chunks": True, "max_chunk_length": 2}],
    ),
}


def schema_of(document: dict[str, Any], name: str) -> Draft202012Validator:
    return Draft202012Validator({"$ref": f"#/components/schemas/{name}", "components": document["components"]})


def test_answers_are_what_the_document_says(shared: Edge) -> None:
    document = shared.client.get("/openapi.json").json()
    schema_of(document, "EmbeddingsResponse").validate(shared.embed().json())
    schema_of(document, "EmbeddingsResponse").validate(shared.embed(encoding_format="base64").json())
    types = ["float", "base64", "binary", "ubinary"]
    schema_of(document, "EmbeddingsResponse").validate(shared.embed(embedding_type=types).json())
    schema_of(document, "EmbeddingsResponse").validate(shared.embed(embedding_type="binary").json())
    for encoding in (*types, types):
        tokens = shared.embed(
            model=IMAGE_MODEL, input=["a b", IMAGE], return_multivector=True, return_tokenized_input=True,
            embedding_type=encoding,
        )  # fmt: skip
        assert tokens.status_code == 200
        schema_of(document, "EmbeddingsResponse").validate(tokens.json())
    for path, (name, body) in BODIES.items():
        for fields in body:
            schema_of(document, f"{name}Request").validate(fields)
            answer = shared.client.post(path, json=fields)
            assert answer.status_code == 200
            schema_of(document, f"{name}Response").validate(answer.json())
    schema_of(document, "ModelsResponse").validate(shared.client.get("/v1/models").json())
    schema_of(document, "ModelResponse").validate(shared.client.get("/v1/models/tiny").json())
    schema_of(document, "HealthResponse").validate(shared.client.get("/health").json())
    schema_of(document, "ReadyResponse").validate(shared.client.get("/ready").json())
    schema_of(document, "LiveResponse").validate(shared.client.get("/live").json())
    schema_of(document, "SummaryResponse").validate(
        shared.client.get("/", headers={"accept": "application/json"}).json()
    )
    schema_of(document, "ErrorResponse").validate(shared.embed(dimensions=0).json())


@pytest.mark.parametrize(
    "fields",
    [
        {"input": "a"},
        {"input": ["a", "b"]},
        {"input": [1, 2]},
        {"input": [[1], [2]]},
        {"input": [{"text": "a"}]},
        {"input": "a", "model": None, "dimensions": None, "encoding_format": None, "truncate": None, "user": None},
        {"input": "a", "unknown": [1]},
        {"input": "a", "encoding_format": "BASE64"},
        {"input": {"text": "a"}, "embedding_type": ["float", "ubinary"], "task": "classification"},
        {"input": ["a", {"text": "b"}], "late_chunking": True, "normalized": False, "input_type": "query"},
        {"input": "a", "return_multivector": False, "return_tokenized_input": None},
        {"input": "a", "truncate_prompt_tokens": -1, "truncation_side": "left", "messages": None},
        {"input": "a", "encoding_format": "bytes", "embed_dtype": "fp8_e4m3", "endianness": "native"},
        {"model": IMAGE_MODEL, "input": IMAGE, "return_multivector": True, "return_tokenized_input": True},
        {"model": IMAGE_MODEL, "input": ["a", {"url": "https://h/a.png"}, {"bytes": "AAAA"}, {"image_base64": "AAAA"}]},
        {
            "model": IMAGE_MODEL,
            "input": [{"image_url": "https://h/a.png"}, {"image_url": {"url": "data:;base64,AAAA"}}],
        },
        {"model": IMAGE_MODEL, "input": [{"type": "image", "format": "base64", "value": "AAAA"}]},
    ],
)
def test_what_the_document_allows_is_accepted(shared: Edge, fields: dict[str, Any]) -> None:
    document = shared.client.get("/openapi.json").json()
    schema_of(document, "EmbeddingsRequest").validate(fields)
    assert shared.client.post("/v1/embeddings", json=fields).status_code == 200


@pytest.mark.parametrize("fields", [{}, {"input": 1}, {"input": "a", "dimensions": 0}, {"input": "a", "truncate": "x"}])
def test_what_the_document_forbids_is_refused(shared: Edge, fields: dict[str, Any]) -> None:
    document = shared.client.get("/openapi.json").json()
    assert not schema_of(document, "EmbeddingsRequest").is_valid(fields)
    assert shared.client.post("/v1/embeddings", json=fields).status_code == 400


@pytest.mark.parametrize(
    ("schema", "field", "names"),
    [
        ("EmbeddingsRequest", "input", embeddings_request.INPUT_NAMES),
        ("EmbeddingsRequest", "task", embeddings_request.TASK_NAMES),
        ("EmbeddingsRequest", "input_type", embeddings_request.SIDE_NAMES),
        ("EmbeddingsRequest", "dimensions", embeddings_request.DIMENSIONS_NAMES),
        ("EmbeddingsRequest", "normalized", embeddings_request.NORMALISED_NAMES),
        ("EmbeddingsRequest", "truncate", embeddings_request.TRUNCATE_NAMES),
        ("EmbeddingsRequest", "embedding_type", embeddings_request.ENCODING_NAMES),
        ("ClassifyRequest", "input", embeddings_request.INPUT_NAMES),
        ("ClassifyRequest", "task", embeddings_request.TASK_NAMES),
        ("ClassifyRequest", "truncate", embeddings_request.TRUNCATE_NAMES),
        ("RerankRequest", "documents", rerank_request.DOCUMENTS_NAMES),
        ("RerankRequest", "top_n", rerank_request.TOP_NAMES),
        ("RerankRequest", "max_doc_length", rerank_request.DOCUMENT_LENGTH_NAMES),
        ("RerankRequest", "truncation", rerank_request.TRUNCATE_NAMES),
    ],
)
def test_every_name_of_a_field_is_documented(shared: Edge, schema: str, field: str, names: tuple[str, ...]) -> None:
    described = shared.client.get("/openapi.json").json()["components"]["schemas"][schema]["properties"][field]
    guide = JINA_GUIDE.read_text(encoding="utf-8")
    assert names[0] == field
    for name in names[1:]:
        assert f"`{name}`" in described["description"]
        assert f"`{name}`" in guide


def test_the_documents_examples_work(shared: Edge) -> None:
    document = shared.client.get("/openapi.json").json()
    for name in ("Embeddings", "Rerank", "Classify", "Segment"):
        for example in document["components"]["schemas"][f"{name}Request"]["examples"]:
            model = {"jina-embeddings-v4": IMAGE_MODEL, "jina-reranker-v2-base-multilingual": RERANKER}.get(
                example.get("model"), "tiny"
            )
            answer = shared.client.post(f"/v1/{name.lower()}", json=example | {"model": model})
            assert answer.status_code == 200


def test_no_answer_is_documented_that_never_comes(shared: Edge) -> None:
    document = shared.client.get("/openapi.json").json()
    operations = [one for path in document["paths"].values() for one in path.values()]
    of_tei = [one for one in operations if "TEI" in one["tags"]]
    assert not any("422" in one["responses"] for one in operations if one not in of_tei)
    assert any("422" in one["responses"] for one in of_tei)
