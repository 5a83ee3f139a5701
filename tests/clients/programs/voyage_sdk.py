"""voyageai."""

from __future__ import annotations

from typing import Any

import voyageai
from report import KEY, Case, Plan, run, troubles

MODEL, RERANKER = "voyage-3.5", "rerank-2.5"


def cases(plan: Plan) -> dict[str, Case]:
    def client(key: str = KEY, *, url: str = plan.url, patient: bool = True) -> voyageai.Client:
        return voyageai.Client(api_key=key, base_url=f"{url}/v1", max_retries=3 if patient else 0)

    def embed(*, key: str = KEY, model: str = MODEL, patient: bool = True, **options: Any) -> Any:
        vectors = client(key, patient=patient).embed(plan.texts, model=model, **options).embeddings
        return [[float(value) for value in vector] for vector in vectors]

    async def embed_async() -> Any:
        made = voyageai.AsyncClient(api_key=KEY, base_url=f"{plan.url}/v1")
        vectors = (await made.embed(plan.texts, model=MODEL)).embeddings
        return [[float(value) for value in vector] for vector in vectors]

    def rerank() -> Any:
        ranked = client(url=plan.tasks_url).rerank(plan.query, plan.texts, model=RERANKER)
        return [[row.index, row.relevance_score] for row in ranked.results]

    return {
        "voyageai": embed,
        "voyageai: documents": lambda: embed(input_type="document"),
        "voyageai: async": embed_async,
        "voyageai: dimensions": lambda: embed(output_dimension=128),
        "voyageai: tokens": lambda: client().embed(plan.texts, model=MODEL).total_tokens,
        "voyageai: rerank": rerank,
        **troubles("voyageai", embed),
    }


if __name__ == "__main__":
    run(cases)
