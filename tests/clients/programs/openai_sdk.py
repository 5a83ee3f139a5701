"""openai-python, and its class for Azure."""

from __future__ import annotations

from typing import Any

import tiktoken
from openai import AsyncOpenAI, AzureOpenAI, OpenAI
from report import KEY, Case, Plan, run, troubles

MODEL = "text-embedding-3-small"


def cases(plan: Plan) -> dict[str, Case]:
    def embed(*, key: str = KEY, model: str = MODEL, patient: bool = True, given: Any = None, **fields: Any) -> Any:
        options = {} if patient else {"max_retries": 0}
        with OpenAI(base_url=f"{plan.url}/v1", api_key=key, **options) as client:
            answer = client.embeddings.create(model=model, input=given or plan.texts, **fields)
        return [item.embedding for item in answer.data]

    async def embed_async() -> Any:
        async with AsyncOpenAI(base_url=f"{plan.url}/v1/", api_key=KEY) as client:
            answer = await client.embeddings.create(model=MODEL, input=plan.texts)
        return [item.embedding for item in answer.data]

    def embed_azure(*, key: str = KEY, model: str = MODEL, patient: bool = True) -> Any:
        options = {} if patient else {"max_retries": 0}
        with AzureOpenAI(azure_endpoint=plan.url, api_version="2024-10-21", api_key=key, **options) as client:
            answer = client.embeddings.create(model=model, input=plan.texts)
        return [item.embedding for item in answer.data]

    def models() -> list[str]:
        with OpenAI(base_url=f"{plan.url}/v1", api_key=KEY) as client:
            return [model.id for model in client.models.list()]

    def token_ids() -> Any:
        encoding = tiktoken.encoding_for_model(MODEL)
        return embed(given=[encoding.encode(text) for text in plan.texts])

    return {
        "openai": embed,
        "openai: float": lambda: embed(encoding_format="float"),
        "openai: base64": lambda: embed(encoding_format="base64"),
        "openai: token ids": token_ids,
        "openai: async": embed_async,
        "openai: one by one": lambda: [embed(given=text)[0] for text in plan.texts],
        "openai: dimensions": lambda: embed(dimensions=128),
        "openai: empty": lambda: embed(given=[""]),
        "openai: too long": lambda: embed(given="word " * 300),
        "openai: models": models,
        "azure": embed_azure,
        **troubles("openai", embed),
        **troubles("azure", embed_azure),
    }


if __name__ == "__main__":
    run(cases)
