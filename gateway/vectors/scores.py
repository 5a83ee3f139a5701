"""From a model's raw outputs to scores that people can read."""

from __future__ import annotations

import numpy as np

from gateway.types import Float32Array, Float64Array


def sigmoid(logits: Float32Array) -> Float64Array:
    """1 / (1 + exp(-logit)), from 0 to 1, for float32 of any shape.

    In float64, where scores near 1 stay apart that would be one in float32, and by exp(-|logit|), which cannot overflow
    and keeps the order of very small scores.
    """
    wide = logits.astype(np.float64)
    small = np.exp(-np.abs(wide))
    scores: Float64Array = np.where(wide >= 0.0, 1.0, small) / (1.0 + small)
    return scores


def softmax(similarities: Float64Array) -> Float64Array:
    """Each row's exp(value) over the row's sum of them, for float64 [rows, values]: rows that add up to 1."""
    powers = np.exp(similarities - similarities.max(axis=1, keepdims=True))
    scores: Float64Array = powers / powers.sum(axis=1, keepdims=True)
    return scores
