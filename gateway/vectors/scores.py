"""From a model's raw outputs to scores that people can read."""

from __future__ import annotations

import numpy as np

from gateway.types import Float32Array


def sigmoid(logits: Float32Array) -> Float32Array:
    """1 / (1 + exp(-logit)), from 0 to 1, for float32 of any shape.

    In float64 and by exp(-|logit|), which cannot overflow and keeps the order of very small scores.
    """
    wide = logits.astype(np.float64)
    small = np.exp(-np.abs(wide))
    scores: Float32Array = (np.where(wide >= 0.0, 1.0, small) / (1.0 + small)).astype(np.float32)
    return scores
