"""Transformer layers in float64 NumPy for one row without padding: what the twins' oracles are made of.

Nothing here knows of ONNX. Rows hold no padding, so there is no mask to get wrong.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

Weights = Mapping[str, np.ndarray]

# Bounds the score matrix of a long row; queries do not depend on one another.
QUERY_BLOCK = 512


def double(weights: Weights) -> dict[str, np.ndarray]:
    return {name: array.astype(np.float64) for name, array in weights.items()}


def linear(x: np.ndarray, w: Weights, name: str) -> np.ndarray:
    """x [tokens, in] to [tokens, out] with a weight [out, in]; the bias is optional."""
    y = x @ w[f"{name}.weight"].T
    return y + w[f"{name}.bias"] if f"{name}.bias" in w else y


def layer_norm(x: np.ndarray, w: Weights, name: str, epsilon: float) -> np.ndarray:
    centred = x - x.mean(axis=-1, keepdims=True)
    scaled = centred / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + epsilon)
    return scaled * w[f"{name}.weight"] + w[f"{name}.bias"]


def rms_norm(x: np.ndarray, w: Weights, name: str, epsilon: float) -> np.ndarray:
    return x / np.sqrt((x**2).mean(axis=-1, keepdims=True) + epsilon) * w[f"{name}.weight"]


def gelu(x: np.ndarray) -> np.ndarray:
    return x * 0.5 * (1.0 + np.vectorize(math.erf)(x / math.sqrt(2.0)))


def silu(x: np.ndarray) -> np.ndarray:
    return x / (1.0 + np.exp(-x))


def rotate(x: np.ndarray, theta: float) -> np.ndarray:
    """Rotary positions (arXiv:2104.09864) on x [tokens, heads, size]: the first half of a head pairs with the second.

    Frequencies and angles are rounded to float32, as every published implementation does: at position 8000 that is
    5e-4 of a radian, which the models were trained with.
    """
    tokens, _, size = x.shape
    frequencies = (1.0 / theta ** (np.arange(0, size, 2) / size)).astype(np.float32)
    angles = (np.arange(tokens, dtype=np.float32)[:, None] * frequencies).astype(np.float64)[:, None, :]
    left, right = x[..., : size // 2], x[..., size // 2 :]
    cos, sin = np.cos(angles), np.sin(angles)
    return np.concatenate([left * cos - right * sin, right * cos + left * sin], axis=-1)


def attend(
    query: np.ndarray,
    key: np.ndarray,
    value: np.ndarray,
    *,
    causal: bool = False,
    slopes: np.ndarray | None = None,
) -> np.ndarray:
    """[tokens, heads * size] from query [tokens, heads, size], key and value [tokens, groups, size].

    `slopes` [heads]: symmetric ALiBi (arXiv:2108.12409), each score less slope * distance.
    """
    tokens, heads, size = query.shape
    share = heads // key.shape[1]
    places = np.arange(tokens)
    out = np.empty_like(query)
    for head in range(heads):
        for start in range(0, tokens, QUERY_BLOCK):
            block = slice(start, start + QUERY_BLOCK)
            scores = query[block, head] @ key[:, head // share].T / math.sqrt(size)
            distances = places[block, None] - places[None, :]
            if slopes is not None:
                scores = scores - slopes[head] * np.abs(distances)
            if causal:
                scores = np.where(distances < 0, -np.inf, scores)
            parts = np.exp(scores - scores.max(axis=1, keepdims=True))
            out[block, head] = parts / parts.sum(axis=1, keepdims=True) @ value[:, head // share]
    return out.reshape(tokens, heads * size)
