"""What requests brought, by model. Labels are bound once a model: looking one up costs as much as counting."""

from __future__ import annotations

from dataclasses import dataclass

from prometheus_client import Counter, Histogram

from gateway.telemetry.afterwards import afterwards
from gateway.telemetry.metrics import Metrics


@dataclass(frozen=True, slots=True)
class _OfModel:
    tokenize_seconds: Histogram
    inputs: Counter
    input_tokens: Counter
    truncated_inputs: Counter


class InputMeter:
    """Counts inputs, their tokens and the time that reading them took, once a request is computed."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._of_models: dict[str, _OfModel] = {}

    def computed(
        self, model: str, *, inputs: int, tokens: int, tokenize_seconds: float, truncated_inputs: int = 0
    ) -> None:
        """`model` is the name of a served model."""
        afterwards(self._count, model, inputs, tokens, tokenize_seconds, truncated_inputs)

    def _count(self, model: str, inputs: int, tokens: int, tokenize_seconds: float, truncated_inputs: int) -> None:
        counts = self._of_models.get(model)
        if counts is None:
            counts = self._of_models[model] = _OfModel(
                self._metrics.tokenize_seconds.labels(model),
                self._metrics.inputs.labels(model),
                self._metrics.input_tokens.labels(model),
                self._metrics.truncated_inputs.labels(model),
            )
        counts.tokenize_seconds.observe(tokenize_seconds)
        counts.inputs.inc(inputs)
        counts.input_tokens.inc(tokens)
        if truncated_inputs:
            counts.truncated_inputs.inc(truncated_inputs)
