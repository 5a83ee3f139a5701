"""What Elasticsearch does with the requests of a page, as far as the gateway sees it: it sends the bodies that its
`openai` and `cohere` services send, reads the answers as they do, and refuses settings that they refuse.

Written from Elasticsearch's published sources (services `openai` and `cohere`) and its documentation of the pipeline's
processors and of searches; only what the pages use is here, and everything else fails.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx
import numpy as np

from tests.contract.client_parsers import ranking, strict_base64

PROBE = "how big"
_REQUEST = re.compile(r"^(?P<method>GET|PUT|POST) (?P<path>\S+)\n(?P<body>\{.*?^\})", re.MULTILINE | re.DOTALL)
_COMMON = {"api_key", "url", "model_id", "rate_limit"}
_SETTINGS = {
    "openai": _COMMON | {"organization_id", "similarity", "max_input_tokens", "dimensions"},
    "cohere": _COMMON | {"similarity", "embedding_type"},
}

Json = dict[str, Any]


@dataclass
class Endpoint:
    """An inference endpoint; `size` is fixed when it is made."""

    service: str
    settings: Json
    size: int | None = None


@dataclass
class Index:
    mapping: Json
    pipeline: str | None = None
    documents: dict[str, Json] = field(default_factory=dict)
    vectors: dict[str, np.ndarray] = field(default_factory=dict)


@dataclass
class Hit:
    id: str
    score: float


class Console:
    """Takes the requests of a page in order. `sent` holds what went to the gateway: path, headers and body."""

    def __init__(self, client: httpx.Client, *, address: str) -> None:
        self._client = client
        self._address = address
        self.endpoints: dict[str, Endpoint] = {}
        self.pipelines: dict[str, list[Json]] = {}
        self.indices: dict[str, Index] = {}
        self.sent: list[tuple[str, Mapping[str, str], Json]] = []
        self.query_vectors: list[np.ndarray] = []

    def run(self, code: str) -> list[list[Hit]]:
        """The hits of each search among the requests. Text that is no request fails."""
        requests = list(_REQUEST.finditer(code))
        assert not _REQUEST.sub("", code).strip(), "not all of it is requests"
        answers = (self._answer(one["method"], one["path"], json.loads(one["body"])) for one in requests)
        return [hits for hits in answers if hits is not None]

    def _answer(self, method: str, path: str, body: Json) -> list[Hit] | None:
        routes: dict[tuple[str, str], Callable[..., list[Hit] | None]] = {
            ("PUT", r"_inference/(text_embedding|rerank)/([\w-]+)"): self._make_endpoint,
            ("PUT", r"_ingest/pipeline/([\w-]+)"): self._make_pipeline,
            ("PUT", r"([a-z][\w-]*)"): self._make_index,
            ("PUT", r"([a-z][\w-]*)/_doc/(\w+)"): self._store,
            ("GET", r"([a-z][\w-]*)/_search"): self._search,
        }
        for (wanted, pattern), take in routes.items():
            found = re.fullmatch(pattern, path)
            if method == wanted and found:
                return take(*found.groups(), body)
        raise AssertionError(f"{method} {path} is nothing that the pages use")

    # Endpoints

    def _make_endpoint(self, task: str, name: str, body: Json) -> None:
        service, settings = body["service"], body["service_settings"]
        assert set(body) == {"service", "service_settings"}
        assert set(settings) <= _SETTINGS[service], "an unknown setting is refused"
        endpoint = self.endpoints[name] = Endpoint(service, settings)
        if task == "text_embedding":
            [vector] = self._embed(name, PROBE)
            assert settings.get("dimensions", vector.size) == vector.size
            endpoint.size = vector.size

    def _embed(self, name: str, *texts: str) -> np.ndarray:
        endpoint = self.endpoints[name]
        settings = endpoint.settings
        assert endpoint.service == "openai"
        body = {"input": list(texts), "model": settings["model_id"], "encoding_format": "base64"}
        if "dimensions" in settings:
            body["dimensions"] = settings["dimensions"]
        vectors = strict_base64(self._send(settings, body))
        assert len(vectors) == len(texts)
        assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-4), "dot_product refuses other lengths"
        return vectors

    def _rerank(self, name: str, query: str, texts: list[str]) -> list[tuple[int, float]]:
        settings = self.endpoints[name].settings
        assert self.endpoints[name].service == "cohere"
        body = {"model": settings["model_id"], "query": query, "documents": texts, "top_n": len(texts)}
        answer = ranking(self._send(settings, body, {"Request-Source": "unspecified:elasticsearch"}))
        return list(zip(answer.indices, answer.scores, strict=True))

    def _send(self, settings: Json, body: Json, more: Mapping[str, str] | None = None) -> httpx.Response:
        assert settings["url"].startswith(self._address), settings["url"]
        path = settings["url"].removeprefix(self._address)
        headers = {"Authorization": f"Bearer {settings['api_key']}", **(more or {})}
        self.sent.append((path, headers, body))
        answer = self._client.post(path, json=body, headers=headers)
        assert answer.status_code == 200, answer.text
        return answer

    # Documents

    def _make_pipeline(self, name: str, body: Json) -> None:
        assert set(body) == {"processors"}
        self.pipelines[name] = body["processors"]

    def _make_index(self, name: str, body: Json) -> None:
        assert set(body) <= {"settings", "mappings"}
        fields = body["mappings"]["properties"]
        for one in fields.values():
            assert one["type"] in ("text", "dense_vector", "semantic_text")
            if one["type"] == "semantic_text":
                sizes = {self.endpoints[one[key]].size for key in ("inference_id", "search_inference_id")}
                assert len(sizes) == 1, "both endpoints have to give vectors of one size"
        pipeline = body.get("settings", {}).get("index", {}).get("default_pipeline")
        assert pipeline is None or pipeline in self.pipelines
        self.indices[name] = Index(fields, pipeline)

    def _store(self, name: str, number: str, document: Json) -> None:
        index = self.indices[name]
        for processor in self.pipelines.get(index.pipeline or "", []):
            [(kind, options)] = processor.items()
            getattr(self, f"_{kind}_processor")(document, options)
        assert set(document) <= set(index.mapping), "a field that the pipeline leaves behind"
        index.documents[number] = document
        for key, one in index.mapping.items():
            if one["type"] == "dense_vector":
                vector = np.array(document[key], np.float32)
                assert vector.shape == (one["dims"],)
                index.vectors[number] = vector
            elif one["type"] == "semantic_text":
                [index.vectors[number]] = self._embed(one["inference_id"], document[key])

    @staticmethod
    def _set_processor(document: Json, options: Json) -> None:
        assert set(options) == {"field", "value"}
        value = re.sub(r"\{\{\{(\w+)\}\}\}", lambda one: str(document[one[1]]), options["value"])
        assert "{{" not in value, "two braces would escape the text's quotation marks"
        document[options["field"]] = value

    def _inference_processor(self, document: Json, options: Json) -> None:
        assert set(options) == {"model_id", "input_output"}
        for pair in options["input_output"]:
            [vector] = self._embed(options["model_id"], document[pair["input_field"]])
            document[pair["output_field"]] = vector.tolist()

    @staticmethod
    def _remove_processor(document: Json, options: Json) -> None:
        del document[options["field"]]

    # Searches

    def _search(self, name: str, body: Json) -> list[Hit]:
        index = self.indices[name]
        [(kind, options)] = body.items()
        if kind == "knn":
            return self._nearest(index, options)
        if kind == "query":
            [one] = [options["semantic"]]
            endpoint = index.mapping[one["field"]]["search_inference_id"]
            return self._by_vector(index, endpoint, one["query"])
        reranker = body["retriever"]["text_similarity_reranker"]
        found = self._nearest(index, reranker["retriever"]["knn"])[: reranker["rank_window_size"]]
        texts = [index.documents[hit.id][reranker["field"]] for hit in found]
        order = self._rerank(reranker["inference_id"], reranker["inference_text"], texts)
        assert len(order) == len(found)
        return [Hit(found[place].id, score) for place, score in order]

    def _nearest(self, index: Index, knn: Json) -> list[Hit]:
        assert set(knn) == {"field", "k", "num_candidates", "query_vector_builder"}
        assert index.mapping[knn["field"]]["type"] == "dense_vector"
        assert knn["k"] <= knn["num_candidates"]
        asked = knn["query_vector_builder"]["text_embedding"]
        return self._by_vector(index, asked["model_id"], asked["model_text"])[: knn["k"]]

    def _by_vector(self, index: Index, endpoint: str, text: str) -> list[Hit]:
        [query] = self._embed(endpoint, text)
        self.query_vectors.append(query)
        scores = {number: float(vector @ query) for number, vector in index.vectors.items()}
        return [Hit(number, scores[number]) for number in sorted(scores, key=scores.__getitem__, reverse=True)]
