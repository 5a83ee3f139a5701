"""What one job may ask for, and how long it may take."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gateway.dialects.inputs import InputLimits

Job = Mapping[str, Any]

_MILLISECONDS = 1000


@dataclass(frozen=True, slots=True)
class JobLimits:
    """`max_output_bytes` bounds an answer as JSON: what is larger the platform drops without a word to the caller."""

    inputs: InputLimits
    request_timeout_seconds: float
    max_output_bytes: int

    def seconds_for(self, job: Job) -> float:
        """Time that `job` may take: the caller's `policy.executionTimeout`, in milliseconds, where that is shorter."""
        return min(self.request_timeout_seconds, _policy_seconds(job, "executionTimeout", otherwise=math.inf))

    def queue_seconds_for(self, job: Job, *, at_most: float) -> float:
        """Time that `job` may wait for its turn: the caller's `policy.ttl`, in milliseconds, where that is shorter."""
        return min(at_most, _policy_seconds(job, "ttl", otherwise=math.inf))


def _policy_seconds(job: Job, name: str, *, otherwise: float) -> float:
    policy = job.get("policy")
    asked = policy.get(name) if isinstance(policy, dict) else None
    if isinstance(asked, int | float) and not isinstance(asked, bool) and asked > 0:
        return asked / _MILLISECONDS
    return otherwise
