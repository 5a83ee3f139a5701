"""Unit length, and fewer dimensions: cut, then back to unit length."""

from __future__ import annotations

import numpy as np

from gateway.errors import InvalidVector
from gateway.types import Float32Array


def normalise(vectors: Float32Array) -> Float32Array:
    """Rows of `vectors` (float32 [rows, size]) at L2 length 1; norms in float64.

    Raises `InvalidVector` when a row has no direction: a norm of zero, NaN or infinity.
    """
    wide = vectors.astype(np.float64)
    # Scaling by the largest value first keeps the squares of very small or large ones from vanishing or overflowing.
    largest = np.abs(wide).max(axis=1, keepdims=True, initial=0.0)
    if not np.all(np.isfinite(largest) & (largest > 0.0)):
        raise InvalidVector("The model gave a vector without direction.")
    wide /= largest
    wide /= np.linalg.norm(wide, axis=1, keepdims=True)
    return wide.astype(np.float32)


def shorten(vectors: Float32Array, dimensions: int) -> Float32Array:
    """The first `dimensions` values of each row, back at unit length.

    `dimensions` is from 1 to the row size. Raises `InvalidVector` when what is left of a row is all zeros.
    """
    if not 1 <= dimensions <= vectors.shape[1]:
        raise ValueError(f"dimensions must be from 1 to {vectors.shape[1]}")
    return normalise(vectors[:, :dimensions])
