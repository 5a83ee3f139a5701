"""One vector per text from its token vectors, for graphs that do not pool themselves.

Adding a pooling is adding a function here and its name to `POOLINGS`; a card picks it by that name.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from gateway.types import Float32Array, Int64Array

TokenVectors = npt.NDArray[np.floating[Any]]
Pool = Callable[[TokenVectors, Int64Array], Float32Array]


def mean(hidden: TokenVectors, mask: Int64Array) -> Float32Array:
    """Mean of the token vectors where `mask` is 1.

    `hidden` is [batch, tokens, size], `mask` is 0/1 [batch, tokens]; gives float32 [batch, size]. Summed in float64, so
    that the padding a neighbour brings into the batch cannot change the sum's rounding. A row without
    tokens gives zeros.
    """
    weights = mask.astype(np.float64)
    counts = np.maximum(weights.sum(axis=1, keepdims=True), 1.0)
    with np.errstate(invalid="ignore"):
        summed = _weighted_sum(hidden.astype(np.float64), weights)
    if not np.isfinite(summed).all():
        # 0 x NaN is NaN: padding may hold anything and must not count. Rare, so the copy is made only then.
        summed = _weighted_sum(np.where(mask[:, :, None] == 1, hidden, 0.0).astype(np.float64), weights)
    pooled: Float32Array = (summed / counts).astype(np.float32)
    return pooled


def cls(hidden: TokenVectors, mask: Int64Array) -> Float32Array:
    """The vector of the first token where `mask` is 1, so that left-padded rows come out right as well.

    Shapes as in `mean`.
    """
    return _take(hidden, mask.argmax(axis=1))


def last_token(hidden: TokenVectors, mask: Int64Array) -> Float32Array:
    """The vector at the last index where `mask` is 1, whichever side the padding is on.

    Shapes as in `mean`. Not `mask.sum() - 1`: that is right for right padding only.
    """
    return _take(hidden, mask.shape[1] - 1 - mask[:, ::-1].argmax(axis=1))


def maximum(hidden: TokenVectors, mask: Int64Array) -> Float32Array:
    """The largest value of every component over the tokens where `mask` is 1.

    Shapes as in `mean`; a row without tokens gives zeros.
    """
    kept = np.where(mask[:, :, None] == 1, hidden, -np.inf).max(axis=1, initial=-np.inf)
    pooled: Float32Array = np.where(mask.any(axis=1, keepdims=True), kept, 0.0).astype(np.float32)
    return pooled


def mean_sqrt_len(hidden: TokenVectors, mask: Int64Array) -> Float32Array:
    """The sum of the token vectors where `mask` is 1, divided by the square root of their number.

    Shapes as in `mean`. At unit length it is the mean; as long as it is, it is longer for longer texts.
    """
    counts = np.maximum(mask.sum(axis=1, keepdims=True), 1)
    pooled: Float32Array = (mean(hidden, mask).astype(np.float64) * np.sqrt(counts)).astype(np.float32)
    return pooled


def weighted_mean(hidden: TokenVectors, mask: Int64Array) -> Float32Array:
    """Mean of the token vectors where `mask` is 1, the first counting once, the second twice, and so on (SGPT,
    arXiv:2202.08904, eq. 2).

    Shapes as in `mean`. Counted from a row's own first token, so that padding on the left changes nothing.
    """
    weights = (np.cumsum(mask, axis=1) * mask).astype(np.float64)
    kept = np.where(mask[:, :, None] == 1, hidden, 0.0).astype(np.float64)
    pooled: Float32Array = (_weighted_sum(kept, weights) / np.maximum(weights.sum(axis=1, keepdims=True), 1.0)).astype(
        np.float32
    )
    return pooled


POOLINGS: dict[str, Pool] = {
    "mean": mean,
    "cls": cls,
    "last_token": last_token,
    "max": maximum,
    "mean_sqrt_len": mean_sqrt_len,
    "weighted_mean": weighted_mean,
}


def _weighted_sum(hidden: npt.NDArray[np.float64], weights: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    summed: npt.NDArray[np.float64] = np.matmul(weights[:, None, :], hidden)[:, 0]
    return summed


def _take(hidden: TokenVectors, positions: npt.NDArray[np.intp]) -> Float32Array:
    picked: Float32Array = hidden[np.arange(len(hidden)), positions].astype(np.float32)
    return picked
