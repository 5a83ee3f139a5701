"""What `gateway up` shows: a line while models load, and a block with addresses once the gateway is ready."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator, Sequence
from typing import TextIO

import httpx

from gateway.cards.schema import Model, ModelKind
from gateway.triton.embedded.supervisor import Endpoints, Progress, StartReport

POLL_SECONDS = 0.1
# Between lines of a log, where a model of gigabytes loads for minutes.
STILL_LOADING_SECONDS = 30


class ProgressLine:
    """A line that grows older on a terminal; elsewhere one line when loading starts, one for each model done, and one
    every half a minute in between."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._on_terminal = stream.isatty()
        self._told: set[str] = set()

    def __call__(self, progress: Progress) -> None:
        if self._on_terminal:
            names = ", ".join(progress.waiting) or "Triton"
            self._write(f"\r\x1b[Kloading {names} ... {progress.elapsed_seconds:.1f} s")
            return
        for name in progress.waiting:
            self._tell_once(f"loading {name} ...")
        if progress.waiting and (times := int(progress.elapsed_seconds // STILL_LOADING_SECONDS)):
            self._tell_once(f"still loading {', '.join(progress.waiting)} after {times * STILL_LOADING_SECONDS} s ...")
        for name in progress.settled:
            self._tell_once(f"{name}: done with loading after {progress.elapsed_seconds:.1f} s", key=name)

    def finish(self, report: StartReport) -> None:
        """The line's last state, and Triton's reason for every model that did not load."""
        start = "\r\x1b[K" if self._on_terminal else ""
        self._write(
            f"{start}Triton is up after {report.seconds:.1f} s ({report.stub_environment or 'no Python model'})\n"
        )
        for model, reason in report.failed.items():
            self._write(f"{model} did not load: {reason}\n")

    def _tell_once(self, line: str, *, key: str | None = None) -> None:
        if (key or line) not in self._told:
            self._told.add(key or line)
            self._write(line + "\n")

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()


@contextlib.contextmanager
def announced(url: str, block: str, stream: TextIO) -> Iterator[None]:
    """Write `block` as soon as the gateway at `url` answers `/ready` with 200, from a thread of its own."""
    over = threading.Event()
    thread = threading.Thread(target=_announce, args=(url, block, stream, over), name="announcement", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _announce(url: str, block: str, stream: TextIO, over: threading.Event) -> None:
    with httpx.Client(base_url=url, timeout=2.0, trust_env=False) as client:
        while not over.wait(POLL_SECONDS):
            with contextlib.suppress(httpx.TransportError):
                if client.get("/ready").is_success:
                    stream.write(block)
                    stream.flush()
                    return


def ready_block(url: str, *, endpoints: Endpoints, models: Sequence[Model], with_keys: bool) -> str:
    """`models` are named as callers name them; the curl line is one that the first embedding model answers, or else
    the first reranker."""
    key = " -H 'Authorization: Bearer YOUR_KEY'" if with_keys else ""
    shown = next((model for model in models if model.card.kind is ModelKind.EMBEDDING), models[0] if models else None)
    path, body = _example(shown)
    return f"""
Ready: {", ".join(model.name for model in models) or "no model yet; the first request that names one brings it"}
  gateway         {url}
  Triton gRPC     {endpoints.grpc}
  Triton HTTP     http://{endpoints.http}
  Triton metrics  http://{endpoints.metrics}/metrics

Try it:
  curl {url}{path}{key} -H 'Content-Type: application/json' \\
    -d '{json.dumps(body)}'

Ctrl-C stops everything.
"""


def _example(model: Model | None) -> tuple[str, dict[str, object]]:
    """Path and body of a request that the model answers."""
    if model is not None and model.card.kind is ModelKind.RERANKER:
        documents = ["Berlin is in Germany.", "Cats sleep a lot."]
        return "/v1/rerank", {"model": model.name, "query": "Where is Berlin?", "documents": documents}
    return "/v1/embeddings", {"model": model.name if model else "NAME", "input": "Hello, world"}
