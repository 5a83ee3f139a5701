"""A BERT forward pass in float64 NumPy, written from the paper: the oracle for graphs built on random tiny weights.

It shares nothing with the gateway's builder: weights come as plain arrays, masked keys are left out of the softmax
altogether instead of being given a large negative score, and rows are computed one at a time.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from tests.support.twins.numpy_layers import Weights, attend, double, gelu, layer_norm, linear


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
    w = double(weights)
    epsilon = float(config["layer_norm_eps"])
    x = w["embeddings.word_embeddings.weight"][ids]
    x = x + w["embeddings.position_embeddings.weight"][positions] + w["embeddings.token_type_embeddings.weight"][0]
    x = layer_norm(x, w, "embeddings.LayerNorm", epsilon)
    for layer in range(int(config["num_hidden_layers"])):
        name = f"encoder.layer.{layer}"
        attended = _attended(x, w, f"{name}.attention.self", int(config["num_attention_heads"]))
        x = layer_norm(
            x + linear(attended, w, f"{name}.attention.output.dense"), w, f"{name}.attention.output.LayerNorm", epsilon
        )
        inner = gelu(linear(x, w, f"{name}.intermediate.dense"))
        x = layer_norm(x + linear(inner, w, f"{name}.output.dense"), w, f"{name}.output.LayerNorm", epsilon)
    return x


def _attended(x: np.ndarray, w: Weights, name: str, heads: int) -> np.ndarray:
    return attend(*(linear(x, w, f"{name}.{part}").reshape(len(x), heads, -1) for part in ("query", "key", "value")))
