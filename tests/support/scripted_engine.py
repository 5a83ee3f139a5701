"""An inference server that follows a script, for promises that a real Triton cannot be brought to break at will.

A row's vector is made from its own ids, so a row lost, doubled or swapped is seen (`vector_of`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from gateway.errors import BackendProcessDied, EngineUnavailable, InferenceFailed
from gateway.triton.engine import InferCall, ModelStatus, Tensor
from gateway.types import Float32Array

SIZE = 8


def vector_of(ids: Sequence[int], size: int = SIZE) -> Float32Array:
    """The unit vector this server gives for a row of ids, padding left out."""
    vector = np.random.default_rng(np.random.SeedSequence([int(one) for one in ids])).normal(size=size)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


@dataclass
class ScriptedEngine:
    """Implements `gateway.triton.engine.Engine`. Change its fields while it runs."""

    states: dict[str, str] = field(default_factory=dict)
    down: bool = False
    dead: set[str] = field(default_factory=set)
    control_refused: bool = False
    hang: bool = False
    nan: bool = False
    wrong: bool = False
    refuse_id: int | None = None
    delay_seconds: float = 0.0
    calls: list[InferCall] = field(default_factory=list)
    control: list[tuple[str, str]] = field(default_factory=list)
    index_reads: int = 0
    closed: bool = False

    async def infer(self, call: InferCall, *, timeout_seconds: float) -> dict[str, Tensor]:
        self.calls.append(call)
        if self.hang:
            await asyncio.sleep(3600)
        await asyncio.sleep(self.delay_seconds)
        self._check(call.model)
        ids, mask = call.inputs["input_ids"], call.inputs["attention_mask"]
        if self.refuse_id is not None and (ids == self.refuse_id).any():
            raise InferenceFailed("refused")
        vectors = np.stack([vector_of(row[kept == 1]) for row, kept in zip(ids, mask, strict=True)])
        if self.nan:
            vectors[:] = np.nan
        if self.wrong:
            vectors = -vectors
        return dict.fromkeys(call.outputs, vectors)

    async def is_live(self, *, timeout_seconds: float = 1.0) -> bool:
        return not self.down

    async def models(self, *, timeout_seconds: float = 5.0) -> list[ModelStatus]:
        self.index_reads += 1
        if self.down:
            raise EngineUnavailable("Triton cannot be reached at the moment.")
        return [ModelStatus(name, state) for name, state in self.states.items()]

    async def load(self, model: str, *, timeout_seconds: float = 60.0) -> None:
        self._control("load", model)
        self.states[model] = "READY"
        self.dead.discard(model)

    async def unload(self, model: str, *, timeout_seconds: float = 60.0) -> None:
        self._control("unload", model)
        self.states[model] = "UNAVAILABLE"

    async def close(self) -> None:
        self.closed = True

    def restart_without_models(self) -> None:
        """As after a crash of a server that loads nothing by itself."""
        self.states = dict.fromkeys(self.states, "UNAVAILABLE")

    def _check(self, model: str) -> None:
        if self.down:
            raise EngineUnavailable("Triton cannot be reached at the moment.")
        if model in self.dead:
            raise BackendProcessDied("The process that runs this model has died and is being restarted.")
        if self.states.get(model) != "READY":
            raise EngineUnavailable("Triton is not serving this model at the moment.", code="model_not_loaded")

    def _control(self, verb: str, model: str) -> None:
        if self.down:
            raise EngineUnavailable("Triton cannot be reached at the moment.")
        self.control.append((verb, model))
        if self.control_refused:
            raise InferenceFailed("Triton refuses model control.", code="model_control_refused")
