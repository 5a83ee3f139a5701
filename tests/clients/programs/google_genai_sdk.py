"""google-genai, against Gemini's API."""

from __future__ import annotations

from typing import Any

from google import genai
from google.genai import types
from report import KEY, Case, Plan, run, troubles

MODEL = "gemini-embedding-001"


def cases(plan: Plan) -> dict[str, Case]:
    def client(key: str = KEY, *, url: str = plan.url, patient: bool = True) -> genai.Client:
        retries = types.HttpRetryOptions(attempts=3 if patient else 1, initial_delay=0.1)
        return genai.Client(api_key=key, http_options=types.HttpOptions(base_url=url, retry_options=retries))

    def embed(*, key: str = KEY, model: str = MODEL, patient: bool = True, **config: Any) -> Any:
        made = types.EmbedContentConfig(**config) if config else None
        with client(key, patient=patient) as asked:
            answer = asked.models.embed_content(model=model, contents=plan.texts, config=made)
        return [embedding.values for embedding in answer.embeddings]

    async def embed_async() -> Any:
        made = client()
        answer = await made.aio.models.embed_content(model=MODEL, contents=plan.texts)
        return [embedding.values for embedding in answer.embeddings]

    def one_by_one() -> Any:
        made = client()
        answers = [made.models.embed_content(model=MODEL, contents=text) for text in plan.texts]
        return [answer.embeddings[0].values for answer in answers]

    def queries() -> Any:
        asked = types.EmbedContentConfig(task_type="RETRIEVAL_QUERY")
        with client(url=plan.tasks_url) as made:
            answer = made.models.embed_content(model="jina-embeddings-v3", contents=plan.texts, config=asked)
        return [embedding.values for embedding in answer.embeddings]

    return {
        "google-genai": embed,
        "google-genai: async": embed_async,
        "google-genai: one by one": one_by_one,
        "google-genai: dimensions": lambda: embed(output_dimensionality=128),
        "google-genai: queries": queries,
        **troubles("google-genai", embed),
    }


if __name__ == "__main__":
    run(cases)
