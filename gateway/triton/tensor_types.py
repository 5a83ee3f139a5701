"""What both of Triton's protocols need: its names for element types, an answer's raw bytes as an array, the timeout."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from gateway.errors import InferenceFailed, InvalidVector
from gateway.triton.engine import Tensor

# The NumPy types whose raw little-endian bytes Triton sends. BF16 has no NumPy type.
NUMPY_TYPES: Mapping[str, np.dtype[Any]] = {
    "BOOL": np.dtype("?"),
    "INT8": np.dtype("i1"),
    "INT16": np.dtype("<i2"),
    "INT32": np.dtype("<i4"),
    "INT64": np.dtype("<i8"),
    "UINT8": np.dtype("u1"),
    "UINT16": np.dtype("<u2"),
    "UINT32": np.dtype("<u4"),
    "UINT64": np.dtype("<u8"),
    "FP16": np.dtype("<f2"),
    "FP32": np.dtype("<f4"),
    "FP64": np.dtype("<f8"),
}
TRITON_NAMES: Mapping[np.dtype[Any], str] = {dtype: name for name, dtype in NUMPY_TYPES.items()}

# A year: longer than any call, and a number of microseconds that Triton can hold.
_LONGEST_TIMEOUT_SECONDS = 365 * 86400.0


def tensor_of(name: str, datatype: str, shape: Sequence[int], raw: bytes | memoryview) -> Tensor:
    """The output `name` as a read-only view of `raw`.

    Raises `InvalidVector` where the bytes are not as many as the shape says, `InferenceFailed` for an unknown type.
    """
    dtype = NUMPY_TYPES.get(datatype)
    if dtype is None:
        raise InferenceFailed(f"The output {name} has the type {datatype}, which is not read here.")
    if len(raw) != math.prod(shape) * dtype.itemsize or min(shape, default=0) < 0:
        raise InvalidVector(f"The output {name} is not as large as its shape {list(shape)} says.")
    return np.ndarray(shape, dtype, raw)


def check_asked_for(outputs: Mapping[str, Tensor], names: Sequence[str]) -> None:
    """Raises `InvalidVector` unless each of `names` is there."""
    for name in names:
        if name not in outputs:
            raise InvalidVector(f"Triton's answer lacks the output {name}.")


def timeout_microseconds(timeout_seconds: float) -> int:
    """At least 1: to Triton 0 is no limit."""
    return max(int(min(timeout_seconds, _LONGEST_TIMEOUT_SECONDS) * 1e6), 1)
