"""Show what the gateway answers: one text, a batch, base64, fewer dimensions, similarity, tasks, late chunking, rerank.

    .venv/bin/python scripts/example_usage.py [--base-url http://127.0.0.1:8000] [--model NAME]

Without --model it is the gateway's own default, or else the first embedding model that is served; tasks, late
chunking and rerank take the first other one that can where it cannot. What no served model can do is left out, in
words. Uses the official OpenAI client too where it is installed. Exit code 0 when every answer was right, 1 when one
was not, 2 when the gateway cannot be reached or refused. GATEWAY_API_KEY is sent when it is set.
"""

from __future__ import annotations

import argparse
import base64
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

import httpx
import numpy as np

Models = list[dict[str, Any]]

TEXTS = ("A cat sleeps on the sofa.", "A kitten naps on the couch.", "The stock market fell today.")


DOCUMENT = ("Berlin is the capital of Germany.", "The city has 3.8 million inhabitants.")
QUERY = "Where is Berlin?"
RANKED = ("Cats sleep a lot.", "Berlin is in Germany.", "The stock market fell today.")


class Client:
    """The gateway with plain httpx; answers are the decoded JSON bodies. Every method raises `httpx.HTTPError` when
    there is none. `model` has to be set before texts are embedded."""

    def __init__(self, base_url: str, *, model: str | None, api_key: str | None) -> None:
        headers = {"authorization": f"Bearer {api_key}"} if api_key else {}
        self._http = httpx.Client(base_url=base_url, headers=headers, timeout=60)
        self.model = model

    def embed(self, texts: str | Sequence[str], *, model: str | None = None, **options: object) -> dict[str, Any]:
        return self._post("/v1/embeddings", {"model": model or self.model, "input": texts, **options})

    def rerank(self, query: str, documents: Sequence[str], *, model: str) -> dict[str, Any]:
        return self._post("/v1/rerank", {"model": model, "query": query, "documents": documents})

    def models(self) -> list[dict[str, Any]]:
        answer = self._http.get("/v1/models")
        answer.raise_for_status()
        return list(answer.json()["data"])

    def _post(self, path: str, body: dict[str, object]) -> dict[str, Any]:
        # Null means "not given" to the gateway, which then takes its default.
        answer = self._http.post(path, json=body)
        answer.raise_for_status()
        return dict(answer.json())


def vectors_of(answer: dict[str, Any]) -> np.ndarray[Any, np.dtype[np.float32]]:
    """float32, shape [inputs, dimensions], in input order."""
    rows = sorted(answer["data"], key=lambda row: row["index"])
    return np.array([row["embedding"] for row in rows], dtype=np.float32)


def show_one(client: Client) -> bool:
    answer = client.embed(TEXTS[0])
    vector = vectors_of(answer)[0]
    first = ", ".join(f"{value:.4f}" for value in vector[:4])
    print(f"one text      {len(vector)} dimensions by {answer['model']}: [{first}, ...]")
    return bool(abs(np.linalg.norm(vector) - 1) < 1e-3)


def show_batch(client: Client) -> bool:
    answer = client.embed(TEXTS)
    print(f"batch         {len(answer['data'])} vectors, {answer['usage']['total_tokens']} tokens")
    return len(answer["data"]) == len(TEXTS)


def show_base64(client: Client) -> bool:
    encoded = client.embed(TEXTS[0], encoding_format="base64")["data"][0]["embedding"]
    decoded = np.frombuffer(base64.b64decode(encoded), dtype="<f4")
    same = bool(np.allclose(decoded, vectors_of(client.embed(TEXTS[0]))[0], atol=1e-6))
    print(f"base64        {len(encoded)} characters, the same {len(decoded)} numbers: {same}")
    return same


def show_dimensions(client: Client) -> bool:
    size = max(1, len(vectors_of(client.embed(TEXTS[0]))[0]) // 4)
    vector = vectors_of(client.embed(TEXTS[0], dimensions=size))[0]
    print(f"dimensions    cut to {len(vector)}, length {np.linalg.norm(vector):.4f}")
    return len(vector) == size


def show_similarity(client: Client) -> bool:
    cat, kitten, market = vectors_of(client.embed(TEXTS))
    near, far = float(cat @ kitten), float(cat @ market)
    print(f"similarity    cat and kitten {near:.3f}, cat and market {far:.3f}")
    return near > far


def show_tasks(client: Client, models: Models) -> bool:
    """The same text as a query and as a document: the vectors differ, because a model with tasks tells them apart."""
    model = first_that(models, lambda one: len(one["tasks"]) > 1, before=client.model)
    if model is None:
        print("tasks         no served model has any, left out")
        return True
    tasks = next(one["tasks"] for one in models if one["id"] == model)[:2]
    vectors = [vectors_of(client.embed(TEXTS[0], model=model, task=task))[0] for task in tasks]
    likeness = float(vectors[0] @ vectors[1])
    print(f"tasks         one text as {tasks[0]} and as {tasks[1]}, by {model}: cosine {likeness:.3f}")
    return likeness < 0.9999


def show_late_chunking(client: Client, models: Models) -> bool:
    """The second part's vector, alone and in its document, where "the city" is Berlin."""
    model = first_that(models, lambda one: bool(one["late_chunking"]), before=client.model)
    if model is None:
        print("late chunking no served model pools by the mean, left out")
        return True
    alone = vectors_of(client.embed(DOCUMENT, model=model))
    within = vectors_of(client.embed(DOCUMENT, model=model, late_chunking=True))
    likeness = float(alone[1] @ within[1])
    print(f"late chunking a part alone and in its document, by {model}: cosine {likeness:.3f}")
    return len(within) == len(DOCUMENT) and likeness < 0.9999


def show_rerank(client: Client, models: Models) -> bool:
    model = first_that(models, lambda one: one["kind"] == "reranker")
    if model is None:
        print("rerank        no reranker is served, left out")
        return True
    results = client.rerank(QUERY, RANKED, model=model)["results"]
    scores = [result["relevance_score"] for result in results]
    print(f"rerank        best of {len(RANKED)} for {QUERY!r}: {RANKED[results[0]['index']]!r}, score {scores[0]:.3f}")
    return len(results) == len(RANKED) and scores == sorted(scores, reverse=True)


def first_that(models: Models, suits: Callable[[dict[str, Any]], bool], *, before: str | None = None) -> str | None:
    """The name of a suitable model, the one named `before` before all others; None without."""
    names = [str(one["id"]) for one in models if suits(one)]
    return before if before in names else next(iter(names), None)


def show_openai_client(base_url: str, *, model: str, api_key: str | None) -> bool:
    try:
        from openai import OpenAI
    except ImportError:
        print("openai        not installed, left out")
        return True
    client = OpenAI(base_url=f"{base_url}/v1", api_key=api_key or "unused")
    vector = client.embeddings.create(model=model, input=TEXTS[0]).data[0].embedding
    print(f"openai        {len(vector)} dimensions through the official client")
    return len(vector) > 0


def chosen_model(client: Client, models: Models) -> str | None:
    """The model to show, by its public name; None where nothing gives embeddings."""
    try:
        return str(client.embed(TEXTS[0])["model"])
    except httpx.HTTPStatusError as error:
        if client.model is not None or error.response.json().get("code") != "model_required":
            raise
    return first_that(models, lambda one: one["kind"] == "embedding")


def show_all(client: Client, base_url: str, key: str | None) -> list[bool]:
    """Whether each answer was right."""
    models = client.models()
    model = client.model = chosen_model(client, models)
    if model is None:
        print("embeddings    no embedding model is served, left out")
        return [show_rerank(client, models)]
    shows: list[Callable[[], bool]] = [
        lambda: show_one(client),
        lambda: show_batch(client),
        lambda: show_base64(client),
        lambda: show_dimensions(client),
        lambda: show_similarity(client),
        lambda: show_tasks(client, models),
        lambda: show_late_chunking(client, models),
        lambda: show_rerank(client, models),
        lambda: show_openai_client(base_url, model=model, api_key=key),
    ]
    return [show() for show in shows]


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base-url", default="http://127.0.0.1:8000", help="address of the gateway")
    parser.add_argument("--model", help="model to ask for; default: the gateway's own, else the first served")
    return parser.parse_args()


def sentence_of(response: httpx.Response) -> str:
    """What the gateway says is wrong; the body's beginning where something else answered."""
    try:
        return str(response.json()["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return response.text[:300]


def main() -> int:
    arguments = parse_arguments()
    base_url, key = arguments.base_url.rstrip("/"), os.environ.get("GATEWAY_API_KEY")
    client = Client(base_url, model=arguments.model, api_key=key)
    try:
        good = show_all(client, base_url, key)
    except httpx.HTTPStatusError as error:
        print(f"The gateway answered {error.response.status_code}: {sentence_of(error.response)}", file=sys.stderr)
        return 2
    except httpx.HTTPError as error:
        print(
            f"No answer from {base_url} ({type(error).__name__}). Is it running? scripts/quick_start.sh",
            file=sys.stderr,
        )
        return 2
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
