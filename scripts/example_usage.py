"""Show what the gateway answers: one text, a batch, base64, fewer dimensions, similarity.

    .venv/bin/python scripts/example_usage.py [--base-url http://127.0.0.1:8000] [--model NAME]

Uses the official OpenAI client where it is installed, else plain httpx. Exit code 0 when every answer was right,
1 when one was not, 2 when the gateway cannot be reached or refused. GATEWAY_API_KEY is sent when it is set.
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

TEXTS = ("A cat sleeps on the sofa.", "A kitten naps on the couch.", "The stock market fell today.")


class Client:
    """POST /v1/embeddings with plain httpx; answers are the decoded JSON bodies."""

    def __init__(self, base_url: str, *, model: str | None, api_key: str | None) -> None:
        headers = {"authorization": f"Bearer {api_key}"} if api_key else {}
        self._http = httpx.Client(base_url=base_url, headers=headers, timeout=60)
        self._model = model

    def embed(self, texts: str | Sequence[str], **options: object) -> dict[str, Any]:
        """The answer to one request. Raises `httpx.HTTPError` when there is none."""
        body: dict[str, object] = {"input": texts, **options}
        if self._model is not None:
            body["model"] = self._model
        answer = self._http.post("/v1/embeddings", json=body)
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
    vector = vectors_of(client.embed(TEXTS[0], dimensions=64))[0]
    print(f"dimensions    cut to {len(vector)}, length {np.linalg.norm(vector):.4f}")
    return len(vector) == 64


def show_similarity(client: Client) -> bool:
    cat, kitten, market = vectors_of(client.embed(TEXTS))
    near, far = float(cat @ kitten), float(cat @ market)
    print(f"similarity    cat and kitten {near:.3f}, cat and market {far:.3f}")
    return near > far


def show_openai_client(base_url: str, *, model: str | None, api_key: str | None) -> bool:
    try:
        from openai import OpenAI
    except ImportError:
        print("openai        not installed, left out")
        return True
    client = OpenAI(base_url=f"{base_url}/v1", api_key=api_key or "unused")
    name = model or client.models.list().data[0].id
    vector = client.embeddings.create(model=name, input=TEXTS[0]).data[0].embedding
    print(f"openai        {len(vector)} dimensions through the official client")
    return len(vector) > 0


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base-url", default="http://127.0.0.1:8000", help="address of the gateway")
    parser.add_argument("--model", help="model to ask for; default: the gateway's own default")
    return parser.parse_args()


def main() -> int:
    arguments = parse_arguments()
    base_url, model, key = arguments.base_url.rstrip("/"), arguments.model, os.environ.get("GATEWAY_API_KEY")
    client = Client(base_url, model=model, api_key=key)
    shows: list[Callable[[], bool]] = [
        lambda: show_one(client),
        lambda: show_batch(client),
        lambda: show_base64(client),
        lambda: show_dimensions(client),
        lambda: show_similarity(client),
        lambda: show_openai_client(base_url, model=model, api_key=key),
    ]
    try:
        good = [show() for show in shows]
    except httpx.HTTPStatusError as error:
        print(f"The gateway answered {error.response.status_code}: {error.response.text[:300]}", file=sys.stderr)
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
