"""ollama-python."""

from __future__ import annotations

from typing import Any

from ollama import AsyncClient, Client
from report import KEY, Case, Plan, run, troubles

MODEL = "all-minilm"


def cases(plan: Plan) -> dict[str, Case]:
    def client(key: str = KEY) -> Client:
        return Client(host=plan.url, headers={"Authorization": f"Bearer {key}"})

    def embed(*, key: str = KEY, model: str = MODEL, patient: bool = True, **options: Any) -> Any:
        return client(key).embed(model, plan.texts, **options).embeddings

    async def embed_async() -> Any:
        made = AsyncClient(host=plan.url, headers={"Authorization": f"Bearer {KEY}"})
        return (await made.embed(MODEL, plan.texts)).embeddings

    def facts() -> Any:
        answer = client().embed(MODEL, plan.texts)
        return [answer.model, answer.prompt_eval_count, answer.total_duration, answer.load_duration]

    return {
        "ollama": embed,
        "ollama: async": embed_async,
        "ollama: latest": lambda: embed(model=f"{MODEL}:latest"),
        "ollama: one by one": lambda: [client().embed(MODEL, text).embeddings[0] for text in plan.texts],
        "ollama: embeddings": lambda: [client().embeddings(MODEL, text).embedding for text in plan.texts],
        "ollama: options": lambda: embed(truncate=True, options={"num_ctx": 8192}, keep_alive="5m"),
        "ollama: dimensions": lambda: embed(dimensions=128),
        "ollama: facts": facts,
        "ollama: nothing": lambda: client().embed(MODEL, "").embeddings,
        "ollama: cut": lambda: client().embed(MODEL, "word " * 300).embeddings,
        "ollama: too long": lambda: client().embed(MODEL, "word " * 300, truncate=False),
        "ollama: list": lambda: [model.model for model in client().list().models],
        "ollama: ps": lambda: [model.model for model in client().ps().models],
        "ollama: show": lambda: client().show(MODEL).capabilities,
        "ollama: pull": lambda: client().pull(MODEL).status,
        "ollama: pull with progress": lambda: [part.status for part in client().pull(MODEL, stream=True)],
        "ollama: pull of nothing": lambda: client().pull("no-such-model"),
        "ollama: generate": lambda: client().generate(MODEL, "A harbour"),
        "ollama: delete": lambda: client().delete(MODEL),
        **troubles("ollama", embed, retries=False),
    }


if __name__ == "__main__":
    run(cases)
