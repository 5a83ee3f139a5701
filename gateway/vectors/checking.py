"""No vector leaves that is not one: NaN, Inf, all zeros or a wrong size are errors, never answers."""

from __future__ import annotations

from math import inf

import numpy as np
import numpy.typing as npt

from gateway.errors import InvalidVector
from gateway.types import Float32Array, Float64Array


def check_shape(vectors: npt.NDArray[np.generic], *, rows: int, size: int) -> None:
    """Raises `InvalidVector` unless `vectors` is [rows, size]. A wrong shape condemns the whole call: no row of it
    can be told apart from another."""
    if vectors.shape != (rows, size):
        raise InvalidVector(f"The model gave vectors of shape {list(vectors.shape)} instead of {[rows, size]}.")


def invalid_rows(vectors: Float32Array) -> dict[int, InvalidVector]:
    """The rows of float32 [rows, size] that hold NaN, Inf or nothing but zeros, each with its own error."""
    return described(vectors, squared_lengths(vectors.astype(np.float64)))


def squared_lengths(wide: Float64Array) -> Float64Array:
    """Each row's sum of squares, for float32 values in a float64 [rows, size].

    Finite and positive exactly where the row is finite and not all zeros: the square of a float32 neither overflows nor
    vanishes in float64. So one pass over the values answers for them all. Each row as a product of two matrices, which
    takes half of what `einsum` does.
    """
    squares: Float64Array = np.matmul(wide[:, None, :], wide[:, :, None])
    return squares[:, 0, 0]


def described(vectors: Float32Array, squares: Float64Array) -> dict[int, InvalidVector]:
    """`invalid_rows` where the `squared_lengths` are known."""
    # NaN fails both comparisons. In Python, because a call has few rows, and two of NumPy's reductions cost more.
    bad = [row for row, square in enumerate(squares.tolist()) if not 0.0 < square < inf]
    return {row: InvalidVector(_describe(vectors[row])) for row in bad}


def _describe(vector: Float32Array) -> str:
    if not np.isfinite(vector).all():
        return "The model gave a vector with NaN or infinite values for this input."
    return "The model gave a vector of zeros for this input."
