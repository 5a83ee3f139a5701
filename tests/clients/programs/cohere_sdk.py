"""cohere, by both versions of its API."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

import cohere
from cohere.core.request_options import RequestOptions
from report import KEY, Case, Plan, run, troubles

MODEL, RERANKER = "embed-english-v3.0", "rerank-v3.5"
TYPES = ["float", "int8", "uint8", "binary", "ubinary", "base64"]


def cases(plan: Plan) -> dict[str, Case]:
    return first_version(plan) | second_version(plan)


def asked(patient: bool) -> RequestOptions | None:
    return None if patient else RequestOptions(max_retries=0)


def first_version(plan: Plan) -> dict[str, Case]:
    def client(key: str = KEY, url: str = plan.url) -> cohere.Client:
        return cohere.Client(key, base_url=url)

    def embed(*, key: str = KEY, model: str = MODEL, patient: bool = True, **options: Any) -> Any:
        return client(key).embed(texts=plan.texts, model=model, request_options=asked(patient), **options).embeddings

    def many() -> Any:
        """More than it sends in one request."""
        vectors = client().embed(texts=plan.texts * 50, model=MODEL, input_type="search_document").embeddings
        return vectors[-len(plan.texts) :]

    def rerank(**options: Any) -> Any:
        ranker = client(url=plan.tasks_url)
        return ranker.rerank(model=RERANKER, query=plan.query, documents=plan.texts, **options).results

    return {
        "cohere": lambda: embed(input_type="search_document"),
        "cohere: without input_type": embed,
        "cohere: float": lambda: embed(input_type="search_query", embedding_types=["float"]).float_,
        "cohere: many": many,
        "cohere: rerank": lambda: [[row.index, row.relevance_score] for row in rerank()],
        "cohere: rerank, documents": lambda: [row.document.text for row in rerank(return_documents=True)],
        "cohere: tokens": lambda: client().tokenize(text=plan.texts[0], model=MODEL, offline=False).token_strings,
        "cohere: models": lambda: [model.name for model in client().models.list().models],
        "cohere: version": lambda: version("cohere"),
        **troubles("cohere", embed),
    }


def second_version(plan: Plan) -> dict[str, Case]:
    def client(key: str = KEY, url: str = plan.url) -> cohere.ClientV2:
        return cohere.ClientV2(key, base_url=url)

    def answer(key: str = KEY, model: str = MODEL, patient: bool = True, **options: Any) -> Any:
        fields = {"input_type": "search_document", "embedding_types": ["float"], "texts": plan.texts, **options}
        return client(key).embed(model=model, request_options=asked(patient), **fields)

    def embed(**options: Any) -> Any:
        return answer(**options).embeddings.float_

    async def embed_async() -> Any:
        made = cohere.AsyncClientV2(KEY, base_url=plan.url)
        found = await made.embed(model=MODEL, texts=plan.texts, input_type="search_document", embedding_types=["float"])
        return found.embeddings.float_

    def of_every_type() -> Any:
        found = answer(embedding_types=TYPES).embeddings
        return {name: getattr(found, "float_" if name == "float" else name) for name in TYPES}

    def inputs() -> Any:
        given = [{"content": [{"type": "text", "text": text}]} for text in plan.texts]
        return embed(texts=None, inputs=given)

    def rerank() -> Any:
        ranked = client(url=plan.tasks_url).rerank(model=RERANKER, query=plan.query, documents=plan.texts)
        return [[row.index, row.relevance_score] for row in ranked.results]

    return {
        "cohere-v2": embed,
        "cohere-v2: async": embed_async,
        "cohere-v2: every type": of_every_type,
        "cohere-v2: inputs": inputs,
        "cohere-v2: dimensions": lambda: embed(output_dimension=128),
        "cohere-v2: too long": lambda: embed(texts=["word " * 300], truncate="NONE"),
        "cohere-v2: rerank": rerank,
        **troubles("cohere-v2", embed),
    }


if __name__ == "__main__":
    run(cases)
