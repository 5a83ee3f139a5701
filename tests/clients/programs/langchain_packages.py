"""langchain-openai as it comes, which sends token ids, and as it is told to send text; langchain-ollama and
langchain-cohere."""

from __future__ import annotations

from typing import Any

from langchain_cohere import CohereEmbeddings, CohereRerank
from langchain_ollama import OllamaEmbeddings
from langchain_openai import OpenAIEmbeddings
from report import KEY, Case, Plan, run, troubles


def cases(plan: Plan) -> dict[str, Case]:
    return openai_cases(plan) | ollama_cases(plan) | cohere_cases(plan)


def openai_cases(plan: Plan) -> dict[str, Case]:
    def made(*, key: str = KEY, patient: bool = True, **options: Any) -> OpenAIEmbeddings:
        return OpenAIEmbeddings(base_url=f"{plan.url}/v1", api_key=key, **options, **_retries(patient))

    def embed(**options: Any) -> Any:
        return made(**options).embed_documents(plan.texts)

    return {
        "langchain-openai": embed,
        "langchain-openai: queries": lambda: [made().embed_query(text) for text in plan.texts],
        "langchain-openai: async": lambda: made().aembed_documents(plan.texts),
        "langchain-openai: unknown to tiktoken": lambda: embed(model="all-MiniLM-L6-v2"),
        "langchain-openai: text": lambda: embed(check_embedding_ctx_length=False),
        "langchain-openai: text, queries": lambda: [
            made(check_embedding_ctx_length=False).embed_query(text) for text in plan.texts
        ],
        "langchain-openai: dimensions": lambda: embed(dimensions=128),
        "langchain-openai: empty": lambda: made().embed_documents([""]),
        "langchain-openai: too long": lambda: made().embed_query("word " * 300),
        **troubles("langchain-openai", embed),
    }


def _retries(patient: bool) -> dict[str, int]:
    return {} if patient else {"max_retries": 0}


def ollama_cases(plan: Plan) -> dict[str, Case]:
    def embed(*, key: str = KEY, model: str = "all-minilm", patient: bool = True) -> Any:
        headers = {"Authorization": f"Bearer {key}"}
        made = OllamaEmbeddings(model=model, base_url=plan.url, client_kwargs={"headers": headers})
        return made.embed_documents(plan.texts)

    def checked() -> Any:
        headers = {"Authorization": f"Bearer {KEY}"}
        return OllamaEmbeddings(
            model="all-MiniLM-L6-v2", base_url=plan.url, client_kwargs={"headers": headers}, validate_model_on_init=True
        ).embed_documents(plan.texts)

    return {
        "langchain-ollama": embed,
        "langchain-ollama: model checked": checked,
        **troubles("langchain-ollama", embed, retries=False),
    }


def cohere_cases(plan: Plan) -> dict[str, Case]:
    def made(*, key: str = KEY, model: str = "embed-english-v3.0", patient: bool = True) -> CohereEmbeddings:
        options = {} if patient else {"max_retries": 1}
        return CohereEmbeddings(base_url=plan.url, cohere_api_key=key, model=model, **options)

    def rerank() -> Any:
        ranker = CohereRerank(base_url=plan.tasks_url, cohere_api_key=KEY, model="rerank-v3.5")
        return [[row["index"], row["relevance_score"]] for row in ranker.rerank(plan.texts, plan.query)]

    return {
        "langchain-cohere": lambda: made().embed_documents(plan.texts),
        "langchain-cohere: queries": lambda: [made().embed_query(text) for text in plan.texts],
        "langchain-cohere: async": lambda: made().aembed_documents(plan.texts),
        "langchain-cohere: rerank": rerank,
        **troubles("langchain-cohere", lambda **options: made(**options).embed_documents(plan.texts)),
    }


if __name__ == "__main__":
    run(cases)
