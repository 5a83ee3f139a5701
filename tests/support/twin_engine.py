"""An inference server in this process that runs the twins' published graphs, for tests of what a service computes.

Concurrency and outages are the scripted engine's and the real Triton's part; here every value is a real model's.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnxruntime

from gateway.cards.registry import Registry
from gateway.cards.schema import Card
from gateway.cards.triton_spec import OutputRole
from gateway.service.building import Service, ServiceOptions, build_service
from gateway.telemetry.metrics import Metrics, build_metrics
from gateway.triton.engine import InferCall, Instances, ModelStatus, Tensor
from tests.support.running_service import until
from tests.support.twin_repository import BUILDERS, twin_repository

_GRAPH = "onnx/model.onnx"


@dataclass
class TwinEngine:
    """Implements `gateway.triton.engine.Engine` for `cards`, whose twins' files it writes under `folder`."""

    cards: Mapping[str, Card]
    folder: Path
    calls: list[InferCall] = field(default_factory=list)
    broken: bool = False
    _sessions: dict[str, onnxruntime.InferenceSession] = field(default_factory=dict)

    async def infer(self, call: InferCall, *, timeout_seconds: float) -> dict[str, Tensor]:
        self.calls.append(call)
        return await asyncio.to_thread(self._run, call)

    async def is_live(self, *, timeout_seconds: float = 1.0) -> bool:
        return True

    async def models(self, *, timeout_seconds: float = 5.0) -> list[ModelStatus]:
        return [ModelStatus(name, "READY") for name in self.cards]

    async def instances(self, model: str, *, timeout_seconds: float = 5.0) -> Instances:
        return Instances(1)

    async def load(self, model: str, *, timeout_seconds: float = 60.0) -> None:
        raise AssertionError("nothing here ever needs loading")

    async def unload(self, model: str, *, timeout_seconds: float = 60.0) -> None:
        raise AssertionError("nothing here ever needs unloading")

    async def close(self) -> None:
        return None

    def calls_of(self, model: str) -> list[InferCall]:
        return [call for call in self.calls if call.model == model]

    def _run(self, call: InferCall) -> dict[str, Tensor]:
        card = self.cards[call.model]
        assert card.graph is not None
        config = dict(card.graph.config)
        wanted = "logit" if "logit" in config else "token_embeddings"
        inputs = dict(call.inputs)
        if "task_id" in inputs:
            inputs["task_id"] = inputs["task_id"].reshape(())
        [answer] = self._session(card).run([config[wanted]], inputs)
        if self.broken:
            answer[:] = np.nan
        return {name: self._output(card, name, answer, call.inputs["attention_mask"]) for name in call.outputs}

    def _output(self, card: Card, name: str, answer: Tensor, mask: Tensor) -> Tensor:
        role = next(output.role for output in card.triton.outputs if output.tensor.name == name)
        if role is OutputRole.SENTENCE_EMBEDDING:
            return (answer * mask[:, :, None]).sum(axis=1) / mask.sum(axis=1, keepdims=True)
        return answer

    def _session(self, card: Card) -> onnxruntime.InferenceSession:
        if card.name not in self._sessions:
            twin = BUILDERS[card.repository]()
            own = self.folder / card.name
            own.mkdir(parents=True)
            for path in twin.files:
                if path.startswith(_GRAPH):
                    (own / path.removeprefix("onnx/")).write_bytes(twin.files[path])
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = 1
            self._sessions[card.name] = onnxruntime.InferenceSession(own / "model.onnx", options)
        return self._sessions[card.name]


@dataclass(frozen=True)
class TwinService:
    service: Service
    engine: TwinEngine
    metrics: Metrics


@asynccontextmanager
async def twin_service(
    folder: Path,
    *names: str,
    max_tokens: int | None = None,
    overlap_tokens: int | None = None,
    tokenizer: bytes | None = None,
    is_ready: bool = True,
    **options: object,
) -> AsyncIterator[TwinService]:
    """The service over the named models' twins; `options` are fields of `ServiceOptions`.

    `tokenizer` replaces the twins' own; `is_ready` False does not wait until all are served.
    """
    repository = twin_repository(folder / "models", *names, max_tokens=max_tokens, overlap_tokens=overlap_tokens)
    registry = Registry.from_repository(repository)
    for card in registry.cards:
        path = card.path_of(card.tokenizer.file)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(tokenizer or BUILDERS[card.repository]().files["tokenizer.json"])
    engine = TwinEngine({card.name: card for card in registry.cards}, folder / "graphs")
    metrics = build_metrics(version="test")
    fields = {"vocabulary_folder": folder, "canary_interval_seconds": 3600.0, **options}
    async with build_service(
        registry,
        options=ServiceOptions(**fields),  # type: ignore[arg-type]
        metrics=metrics,
        engine=engine,
    ) as service:
        await until(lambda: service.readiness.report().ready or not is_ready, seconds=60)
        engine.calls.clear()
        yield TwinService(service, engine, metrics)


def soon(seconds: float = 60.0) -> float:
    """A deadline."""
    return time.monotonic() + seconds
