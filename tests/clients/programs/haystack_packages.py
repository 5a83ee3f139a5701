"""Haystack's embedders by OpenAI's API, and Jina's embedders and ranker."""

from __future__ import annotations

from typing import Any

from haystack import Document
from haystack.components.embedders import OpenAIDocumentEmbedder, OpenAITextEmbedder
from haystack.utils import Secret
from haystack_integrations.components.embedders.jina import JinaDocumentEmbedder, JinaTextEmbedder
from haystack_integrations.components.rankers.jina import JinaRanker
from report import KEY, Case, Plan, run, troubles


def cases(plan: Plan) -> dict[str, Case]:
    return openai_cases(plan) | jina_cases(plan)


def documents(plan: Plan) -> list[Document]:
    return [Document(content=text) for text in plan.texts]


def vectors_of(answer: dict[str, Any]) -> Any:
    return [document.embedding for document in answer["documents"]]


def openai_cases(plan: Plan) -> dict[str, Case]:
    def options_for(*, key: str = KEY, patient: bool = True, **options: Any) -> dict[str, Any]:
        retries = {} if patient else {"max_retries": 0}
        return {"api_base_url": f"{plan.url}/v1", "api_key": Secret.from_token(key), **retries, **options}

    def embed(**options: Any) -> Any:
        embedder = OpenAIDocumentEmbedder(progress_bar=False, raise_on_failure=True, **options_for(**options))
        return vectors_of(embedder.run(documents(plan)))

    def query(text: str) -> dict[str, Any]:
        return OpenAITextEmbedder(**options_for()).run(text)

    return {
        "haystack-openai": embed,
        "haystack-openai: queries": lambda: [query(text)["embedding"] for text in plan.texts],
        "haystack-openai: meta": lambda: query(plan.query)["meta"],
        "haystack-openai: dimensions": lambda: embed(dimensions=128),
        **troubles("haystack-openai", embed),
    }


def jina_cases(plan: Plan) -> dict[str, Case]:
    def options_for(path: str, *, key: str = KEY, patient: bool = True, **options: Any) -> dict[str, Any]:
        return {"base_url": f"{plan.tasks_url}/v1/{path}", "api_key": Secret.from_token(key), **options}

    def embed(**options: Any) -> Any:
        embedder = JinaDocumentEmbedder(progress_bar=False, **options_for("embeddings", **options))
        return vectors_of(embedder.run(documents(plan)))

    def queries(**options: Any) -> Any:
        embedder = JinaTextEmbedder(**options_for("embeddings", **options))
        return [embedder.run(text)["embedding"] for text in plan.texts]

    def rerank() -> Any:
        ranked = JinaRanker(**options_for("rerank")).run(query=plan.query, documents=documents(plan))
        return [[plan.texts.index(document.content), document.score] for document in ranked["documents"]]

    return {
        "haystack-jina": embed,
        "haystack-jina: passages": lambda: embed(task="retrieval.passage"),
        "haystack-jina: queries": lambda: queries(task="retrieval.query"),
        "haystack-jina: rerank": rerank,
        **troubles("haystack-jina", embed, retries=False),
    }


if __name__ == "__main__":
    run(cases)
