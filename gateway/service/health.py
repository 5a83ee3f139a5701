"""What `/ready` and `/health` tell: one state and one reason per model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum


class State(Enum):
    """READY is the only good one: the model has just given its canary's vector."""

    READY = "ready"
    STARTING = "starting"
    NOT_LOADED = "not_loaded"
    UNAVAILABLE = "unavailable"
    RESTARTING = "restarting"
    WRONG_VECTORS = "wrong_vectors"
    FAULTY = "faulty"


@dataclass(frozen=True, slots=True)
class ModelHealth:
    """`state` is a value of `State`; `reason` is a sentence, empty when all is well."""

    state: str
    reason: str = ""

    @property
    def ready(self) -> bool:
        return self.state == State.READY.value


def health(state: State, reason: str = "") -> ModelHealth:
    return ModelHealth(state=state.value, reason=reason)


@dataclass(frozen=True, slots=True)
class ReadinessReport:
    """`ready` when at least one model is served and every model that should be is ready."""

    ready: bool
    models: Mapping[str, ModelHealth]
    reason: str = ""
