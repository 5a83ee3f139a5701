"""The seam between the gateway and Triton: what the service asks of an inference server.

`GrpcEngine` is the real one; tests of concurrency promises use a scripted one with the same methods.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy.typing as npt

from gateway.records import record

Tensor = npt.NDArray[Any]


@record(frozen=True, slots=True)
class InferCall:
    """One model call. `inputs` are bound by name; only `outputs` are computed and sent back. An `urgent` call is one
    that somebody waits for: an engine that can do so computes it ahead of others. A `stoppable` one may take so long
    that the engine has to hear when it is given up."""

    model: str
    inputs: Mapping[str, Tensor]
    outputs: Sequence[str]
    urgent: bool = False
    stoppable: bool = False


@dataclass(frozen=True, slots=True)
class ModelStatus:
    """A row of Triton's repository index. `state` is Triton's own word, for example READY or UNAVAILABLE."""

    name: str
    state: str
    reason: str = ""

    @property
    def ready(self) -> bool:
        return self.state == "READY"


@dataclass(frozen=True, slots=True)
class Instances:
    """How a loaded model is run: how many of its calls are computed at once, and whether on GPUs."""

    count: int
    on_gpu: bool = False


class Engine(Protocol):
    """An inference server.

    Every method raises `EngineUnavailable` when the server cannot be reached, is shutting down or was lost during the
    call, and `DeadlineExceeded` when `timeout_seconds` ran out.
    """

    async def infer(self, call: InferCall, *, timeout_seconds: float) -> dict[str, Tensor]:
        """Run one model call; returns every requested output by name.

        Raises `BackendProcessDied` when the model's own process is gone, `InferenceFailed` when the model refused.
        """
        ...

    async def is_live(self, *, timeout_seconds: float = 1.0) -> bool:
        """Whether the server answers. Never raises."""
        ...

    async def models(self, *, timeout_seconds: float = 5.0) -> list[ModelStatus]:
        """The repository index."""
        ...

    async def instances(self, model: str, *, timeout_seconds: float = 5.0) -> Instances:
        """How this model, which is loaded, is run. Raises `EngineUnavailable` where it is not, too."""
        ...

    async def load(self, model: str, *, timeout_seconds: float = 60.0) -> None:
        """Load a model (explicit model control). Raises `InferenceFailed` when Triton refuses."""
        ...

    async def unload(self, model: str, *, timeout_seconds: float = 60.0) -> None:
        """Unload a model and wait until Triton reports it gone."""
        ...

    async def close(self) -> None: ...
