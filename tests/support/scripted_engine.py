"""An inference server that follows a script, for promises that a real Triton cannot be brought to break at will.

A row's vector is made from its own ids, the call's adapter and the model's mark, so a row lost, doubled, swapped or
computed for another task is seen (`vector_of`).
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from gateway.errors import BackendProcessDied, EngineUnavailable, InferenceFailed
from gateway.triton.engine import InferCall, Instances, ModelStatus, Tensor
from gateway.types import Float32Array

SIZE = 8


def vector_of(ids: Sequence[int], mark: int | None = None) -> Float32Array:
    """The unit vector this server gives for a row of ids, padding left out; `mark` is the call's adapter, or the
    model's own number."""
    seed = [int(one) for one in ids] + ([] if mark is None else [1000 + mark])
    vector = np.random.default_rng(np.random.SeedSequence(seed)).normal(size=SIZE)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def token_vectors_of(ids: Sequence[int], mark: int | None = None) -> Float32Array:
    """float32 [tokens, size], none of unit length: token n is (n + 1) times the vector of the first n + 1 ids."""
    return np.stack([(end + 1) * vector_of(ids[: end + 1], mark) for end in range(len(ids))])


def logit_of(ids: Sequence[int]) -> float:
    return float(3.0 * vector_of(ids)[0])


@dataclass
class ScriptedEngine:
    """Implements `gateway.triton.engine.Engine`. Change its fields while it runs.

    `marks` gives models whose vectors are their own a number. Outputs called "hidden" are token vectors, those called
    "logit" scores, and all others pooled vectors of unit length. Calls of `hold_from_tokens` and more wait for
    `release`; `held` counts them.
    """

    states: dict[str, str] = field(default_factory=dict)
    down: bool = False
    dead: set[str] = field(default_factory=set)
    marks: dict[str, int] = field(default_factory=dict)
    control_refused: bool = False
    hang: bool = False
    nan: bool = False
    wrong: bool = False
    refuse_id: int | None = None
    delay_seconds: float = 0.0
    slow: set[str] = field(default_factory=set)
    hold_from_tokens: int = sys.maxsize
    held: int = 0
    release: asyncio.Event = field(default_factory=asyncio.Event)
    calls: list[InferCall] = field(default_factory=list)
    control: list[tuple[str, str]] = field(default_factory=list)
    index_reads: int = 0
    closed: bool = False

    async def infer(self, call: InferCall, *, timeout_seconds: float) -> dict[str, Tensor]:
        self.calls.append(call)
        if self.hang:
            await asyncio.sleep(3600)
        await asyncio.sleep(0.05 if call.model in self.slow else self.delay_seconds)
        if call.inputs["input_ids"].shape[1] >= self.hold_from_tokens:
            self.held += 1
            await self.release.wait()
            self.held -= 1
        self._check(call.model)
        ids, mask = call.inputs["input_ids"], call.inputs["attention_mask"]
        if self.refuse_id is not None and (ids == self.refuse_id).any():
            raise InferenceFailed("refused")
        rows = [row[kept == 1] for row, kept in zip(ids, mask, strict=True)]
        mark = _adapter(call) if "task_id" in call.inputs else self.marks.get(call.model)
        return {name: self._output(name, rows, mark, length=ids.shape[1]) for name in call.outputs}

    async def is_live(self, *, timeout_seconds: float = 1.0) -> bool:
        return not self.down

    async def models(self, *, timeout_seconds: float = 5.0) -> list[ModelStatus]:
        self.index_reads += 1
        if self.down:
            raise EngineUnavailable("Triton cannot be reached at the moment.")
        return [ModelStatus(name, state) for name, state in self.states.items()]

    async def instances(self, model: str, *, timeout_seconds: float = 5.0) -> Instances:
        return Instances(1)

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

    def _output(self, name: str, rows: Sequence[Tensor], mark: int | None, *, length: int) -> Tensor:
        if name == "logit":
            values = np.array([[logit_of(row)] for row in rows], dtype=np.float32)
        elif name == "hidden":
            values = np.full((len(rows), length, SIZE), 77.0, dtype=np.float32)
            for place, row in enumerate(rows):
                values[place, : len(row)] = token_vectors_of(row, mark)
        else:
            values = np.stack([vector_of(row, mark) for row in rows])
        if self.nan:
            values[:] = np.nan
        return -values if self.wrong else values

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


def _adapter(call: InferCall) -> int:
    """The call's adapter, as a graph input of rank 0 takes it: one number, in the shape that Triton's config states."""
    given = call.inputs["task_id"]
    assert (given.shape, given.dtype.name) == ((1,), "int64"), given
    return int(given[0])
