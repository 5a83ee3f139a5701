"""What came of a RunPod job, before anybody is told of it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

import orjson

from gateway.dialects.faults import Fault
from gateway.types import StageSeconds, Usage

_NO_USAGE = Usage(prompt_tokens=0, total_tokens=0)


@dataclass(frozen=True, slots=True)
class JobOutput:
    """An answer, as the JSON that it was written as or, where that is all there is, as what JSON makes of it. Exactly
    one of the two is given: vectors are never turned into the other form unless somebody wants it."""

    text: bytes | None = None
    value: dict[str, Any] | None = None

    def as_text(self) -> bytes:
        return orjson.dumps(self.value) if self.text is None else self.text

    def as_value(self) -> dict[str, Any]:
        if self.text is None:
            return self.value or {}
        value: dict[str, Any] = orjson.loads(self.text)
        return value


@dataclass(slots=True)
class JobFacts:
    """One job's facts for log lines and metrics; never its content. `started` is of `time.perf_counter()`."""

    kind: str = "none"
    model: str = ""
    inputs: int = 0
    usage: Usage = _NO_USAGE
    stages: StageSeconds = field(default_factory=StageSeconds)
    started: float = field(default_factory=time.perf_counter)

    def note(self, *, model: str, inputs: int, usage: Usage, stages: StageSeconds) -> None:
        self.model, self.inputs, self.usage, self.stages = model, inputs, usage, stages


@dataclass(frozen=True, slots=True)
class JobOutcome:
    """`fault` is what it failed by, None where it did not. `output` is there unless it failed, and for a failed job of
    OpenAI's route too: its clients are told of faults in an answer."""

    facts: JobFacts
    output: JobOutput | None = None
    fault: Fault | None = None
