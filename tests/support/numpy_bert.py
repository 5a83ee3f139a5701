"""A BERT forward pass in float64 NumPy, written from the paper: the oracle for graphs built on random tiny weights.

It shares nothing with the gateway's builder: weights come as plain arrays, masked keys are left out of the softmax
altogether instead of being given a large negative score, and rows are computed one at a time.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

Weights = Mapping[str, np.ndarray]


def hidden_states(config: Mapping[str, object], weights: Weights, ids: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Last hidden states [rows, tokens, hidden] for ids and 0/1 mask [rows, tokens]; masked positions hold NaN."""
    hidden = np.full((*ids.shape, int(config["hidden_size"])), np.nan)
    for row in range(len(ids)):
        kept = np.flatnonzero(mask[row])
        hidden[row, kept] = _row(config, weights, ids[row, kept], kept)
    return hidden


def embeddings(config: Mapping[str, object], weights: Weights, ids: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Unit-length means over the unmasked tokens, [rows, hidden]."""
    means = np.nanmean(hidden_states(config, weights, ids, mask), axis=1)
    return means / np.linalg.norm(means, axis=1, keepdims=True)


def _row(config: Mapping[str, object], weights: Weights, ids: np.ndarray, positions: np.ndarray) -> np.ndarray:
    w = {name: array.astype(np.float64) for name, array in weights.items()}
    epsilon = float(config["layer_norm_eps"])
    x = w["embeddings.word_embeddings.weight"][ids]
    x = x + w["embeddings.position_embeddings.weight"][positions] + w["embeddings.token_type_embeddings.weight"][0]
    x = _norm(x, w, "embeddings.LayerNorm", epsilon)
    for layer in range(int(config["num_hidden_layers"])):
        name = f"encoder.layer.{layer}"
        attended = _attend(x, w, name, int(config["num_attention_heads"]))
        x = _norm(
            x + _linear(attended, w, f"{name}.attention.output.dense"), w, f"{name}.attention.output.LayerNorm", epsilon
        )
        inner = _gelu(_linear(x, w, f"{name}.intermediate.dense"))
        x = _norm(x + _linear(inner, w, f"{name}.output.dense"), w, f"{name}.output.LayerNorm", epsilon)
    return x


def _attend(x: np.ndarray, w: Weights, name: str, heads: int) -> np.ndarray:
    query, key, value = (_linear(x, w, f"{name}.attention.self.{part}") for part in ("query", "key", "value"))
    size = x.shape[1] // heads
    out = np.empty_like(x)
    for head in range(heads):
        columns = slice(head * size, (head + 1) * size)
        scores = query[:, columns] @ key[:, columns].T / math.sqrt(size)
        shares = np.exp(scores - scores.max(axis=1, keepdims=True))
        out[:, columns] = shares / shares.sum(axis=1, keepdims=True) @ value[:, columns]
    return out


def _linear(x: np.ndarray, w: Weights, name: str) -> np.ndarray:
    return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]


def _norm(x: np.ndarray, w: Weights, name: str, epsilon: float) -> np.ndarray:
    centred = x - x.mean(axis=1, keepdims=True)
    return (
        centred / np.sqrt((centred**2).mean(axis=1, keepdims=True) + epsilon) * w[f"{name}.weight"] + w[f"{name}.bias"]
    )


def _gelu(x: np.ndarray) -> np.ndarray:
    return x * 0.5 * (1.0 + np.vectorize(math.erf)(x / math.sqrt(2.0)))
