"""LiteLLM by the APIs that it has for embeddings and reranking."""

from __future__ import annotations

from typing import Any

import litellm
from report import KEY, Case, Plan, run, troubles


def cases(plan: Plan) -> dict[str, Case]:
    def embed(
        model: str = "text-embedding-3-small",
        *,
        key: str = KEY,
        by: str = "openai",
        path: str = "/v1",
        url: str = plan.url,
        patient: bool = True,
        **options: Any,
    ) -> Any:
        retries = {} if patient else {"max_retries": 0}
        answer = litellm.embedding(
            model=f"{by}/{model}", input=plan.texts, api_base=f"{url}{path}", api_key=key, **retries, **options
        )
        return [item["embedding"] for item in answer.data]

    async def embed_async() -> Any:
        answer = await litellm.aembedding(
            model="openai/text-embedding-3-small", input=plan.texts, api_base=f"{plan.url}/v1", api_key=KEY
        )
        return [item["embedding"] for item in answer.data]

    def rerank(by: str, model: str, path: str) -> Any:
        answer = litellm.rerank(
            model=f"{by}/{model}", query=plan.query, documents=plan.texts, api_base=plan.tasks_url + path, api_key=KEY
        )
        return [[row["index"], row["relevance_score"]] for row in answer.results]

    return {
        "litellm-openai": embed,
        "litellm-openai: async": embed_async,
        "litellm-openai: dimensions": lambda: embed(dimensions=128),
        "litellm-hosted-vllm": lambda: embed("all-MiniLM-L6-v2", by="hosted_vllm"),
        "litellm-ollama": lambda: embed("all-minilm", by="ollama", path=""),
        "litellm-cohere": lambda: embed("embed-english-v3.0", by="cohere", path="/v2/embed"),
        "litellm-voyage": lambda: embed("voyage-3.5", by="voyage"),
        "litellm-azure": lambda: embed(by="azure", path="", api_version="2024-10-21"),
        "litellm-jina": lambda: embed("jina-embeddings-v3", by="jina_ai", url=plan.tasks_url),
        "litellm-jina: rerank": lambda: rerank("jina_ai", "jina-reranker-v1-base-en", ""),
        "litellm-cohere: rerank": lambda: rerank("cohere", "rerank-v3.5", ""),
        "litellm-hosted-vllm: rerank": lambda: rerank("hosted_vllm", "jina-reranker-v1-base-en", ""),
        **troubles("litellm-openai", embed),
    }


if __name__ == "__main__":
    run(cases)
