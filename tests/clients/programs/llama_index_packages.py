"""LlamaIndex's embeddings by OpenAI's, Jina's, TEI's, Ollama's and Cohere's APIs."""

from __future__ import annotations

from typing import Any

from llama_index.embeddings.cohere import CohereEmbedding
from llama_index.embeddings.jinaai import JinaEmbedding
from llama_index.embeddings.ollama import OllamaEmbedding
from llama_index.embeddings.openai import OpenAIEmbedding
from llama_index.embeddings.text_embeddings_inference import TextEmbeddingsInference
from report import KEY, Case, Plan, run, troubles


def cases(plan: Plan) -> dict[str, Case]:
    return {
        **openai_cases(plan),
        **jina_cases(plan),
        **tei_cases(plan),
        **ollama_cases(plan),
        **cohere_cases(plan),
    }


def usual(name: str, plan: Plan, made: Any) -> dict[str, Case]:
    """Texts in one go, each as a query, and both without waiting."""
    return {
        name: lambda: made().get_text_embedding_batch(plan.texts),
        f"{name}: queries": lambda: [made().get_query_embedding(text) for text in plan.texts],
        f"{name}: async": lambda: made().aget_text_embedding_batch(plan.texts),
    }


def openai_cases(plan: Plan) -> dict[str, Case]:
    def made(*, key: str = KEY, patient: bool = True, model: str | None = None, **options: Any) -> OpenAIEmbedding:
        named = {} if model is None else {"model_name": model}
        retries = {} if patient else {"max_retries": 0}
        return OpenAIEmbedding(api_base=f"{plan.url}/v1", api_key=key, **named, **retries, **options)

    return {
        **usual("llama-index-openai", plan, made),
        "llama-index-openai: dimensions": lambda: made(dimensions=128).get_text_embedding_batch(plan.texts),
        **troubles("llama-index-openai", lambda **options: made(**options).get_text_embedding(plan.texts[0])),
    }


def jina_cases(plan: Plan) -> dict[str, Case]:
    def made(*, key: str = KEY, patient: bool = True, **options: Any) -> JinaEmbedding:
        embedding = JinaEmbedding(api_key=key, **options)
        # It has no field for another address.
        embedding._api.api_url = f"{plan.tasks_url}/v1/embeddings"
        return embedding

    return {
        **usual("llama-index-jinaai", plan, made),
        "llama-index-jinaai: task": lambda: made(task="retrieval.passage").get_text_embedding_batch(plan.texts),
        "llama-index-jinaai: bits": lambda: made(encoding_documents="binary").get_text_embedding_batch(plan.texts),
        "llama-index-jinaai: unsigned bits": lambda: made(encoding_documents="ubinary").get_text_embedding_batch(
            plan.texts
        ),
        **troubles(
            "llama-index-jinaai",
            lambda **options: made(**options).get_text_embedding_batch(plan.texts),
            retries=False,
        ),
    }


def tei_cases(plan: Plan) -> dict[str, Case]:
    def made(*, key: str = KEY, patient: bool = True) -> TextEmbeddingsInference:
        return TextEmbeddingsInference(
            model_name="sentence-transformers/all-MiniLM-L6-v2", base_url=plan.url, auth_token=key
        )

    return {
        **usual("llama-index-tei", plan, made),
        **troubles(
            "llama-index-tei",
            lambda **options: made(**options).get_text_embedding(plan.texts[0]),
            has_model=False,
            retries=False,
        ),
    }


def ollama_cases(plan: Plan) -> dict[str, Case]:
    def made(*, key: str = KEY, model: str = "all-minilm", patient: bool = True) -> OllamaEmbedding:
        headers = {"Authorization": f"Bearer {key}"}
        return OllamaEmbedding(model_name=model, base_url=plan.url, client_kwargs={"headers": headers})

    return {
        **usual("llama-index-ollama", plan, made),
        **troubles(
            "llama-index-ollama", lambda **options: made(**options).get_text_embedding(plan.texts[0]), retries=False
        ),
    }


def cohere_cases(plan: Plan) -> dict[str, Case]:
    def made(*, key: str = KEY, patient: bool = True, **options: Any) -> CohereEmbedding:
        # It takes models by Cohere's own names alone.
        named = {"model_name": "embed-multilingual-v3.0"} if options.pop("model", None) else {}
        retries = {} if patient else {"max_retries": 1}
        return CohereEmbedding(base_url=plan.url, api_key=key, **named, **retries, **options)

    return {
        **usual("llama-index-cohere", plan, made),
        **troubles("llama-index-cohere", lambda **options: made(**options).get_text_embedding(plan.texts[0])),
    }


if __name__ == "__main__":
    run(cases)
