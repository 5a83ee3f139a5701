"""Unit length, and fewer dimensions: cut, then back to unit length."""

from __future__ import annotations

import numpy as np

from gateway.errors import InvalidVector
from gateway.types import Float32Array
from gateway.vectors.checking import described, squared_lengths


def normalise(vectors: Float32Array) -> Float32Array:
    """Rows of `vectors` (float32 [rows, size]) at L2 length 1; norms in float64.

    Raises `InvalidVector` when a row has no direction: a norm of zero, NaN or infinity.
    """
    unit, invalid = unit_rows(vectors)
    if invalid:
        raise InvalidVector("The model gave a vector without direction.")
    return unit


def unit_rows(vectors: Float32Array) -> tuple[Float32Array, dict[int, InvalidVector]]:
    """As `normalise`, with those rows that have no direction named, each with its own error, instead of raised; what
    stands in their places means nothing."""
    wide = vectors.astype(np.float64)
    squares = squared_lengths(wide)
    invalid = described(vectors, squares)
    if invalid:
        places = list(invalid)
        wide[places] = squares[places] = 1.0  # a stand-in, so that the others are scaled in one step
    wide /= np.sqrt(squares)[:, None]
    return wide.astype(np.float32), invalid


def shorten(vectors: Float32Array, dimensions: int) -> Float32Array:
    """The first `dimensions` values of each row, back at unit length.

    `dimensions` is from 1 to the row size. Raises `InvalidVector` when what is left of a row is all zeros.
    """
    if not 1 <= dimensions <= vectors.shape[1]:
        raise ValueError(f"dimensions must be from 1 to {vectors.shape[1]}")
    return normalise(vectors[:, :dimensions])
