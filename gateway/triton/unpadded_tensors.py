"""Rows of token ids, one after the other, as the tensors of one call to a model that takes them unpadded."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from gateway.cards.triton_spec import INPUT_TYPES, GraphInput, InputRole
from gateway.triton.engine import Tensor
from gateway.types import TokenRow

_NO_SPANS = np.empty((0, 2), dtype=np.int64)
_IMAGE_ROLES = frozenset({InputRole.PIXELS, InputRole.IMAGE_SIZES})
_SPAN_ROLES = frozenset({InputRole.SPANS, InputRole.SPAN_COUNTS})


def unpadded_tensors(inputs: Sequence[GraphInput], rows: Sequence[TokenRow]) -> dict[str, Tensor]:
    """The tensor for each input of the model, by its name; what is said of shapes is said in `InputRole`.

    Optional inputs that would say nothing of these rows are left out: those for images where no row has pixels, those
    for spans where none has spans. Raises `ValueError` where the model needs an adapter for a row that has none: taken
    as an index, -1 would be the last one without a word.
    """
    unneeded: set[InputRole] = set()
    if all(row.pixels is None for row in rows):
        unneeded |= _IMAGE_ROLES
    if all(row.spans is None for row in rows):
        unneeded |= _SPAN_ROLES
    return {
        given.tensor.name: _tensor(given, rows)
        for given in inputs
        if not (given.tensor.optional and given.role in unneeded)
    }


def _tensor(given: GraphInput, rows: Sequence[TokenRow]) -> Tensor:
    dtype = INPUT_TYPES[given.tensor.data_type]
    match given.role:
        case InputRole.TOKEN_IDS:
            return np.concatenate([row.ids for row in rows]).astype(dtype, copy=False)
        case InputRole.ROW_LENGTHS:
            return np.array([len(row.ids) for row in rows], dtype=dtype)
        case InputRole.ROW_ADAPTERS:
            return _adapters(rows, dtype)
        case InputRole.PIXELS:
            return _pixels(rows)
        case InputRole.IMAGE_SIZES:
            sizes = [(0, 0) if row.pixels is None else row.pixels.shape[:2] for row in rows]
            return np.array(sizes, dtype=dtype)
        case InputRole.SPANS:
            return np.concatenate([_NO_SPANS if row.spans is None else row.spans for row in rows]).astype(dtype)
        case InputRole.SPAN_COUNTS:
            return np.array([0 if row.spans is None else len(row.spans) for row in rows], dtype=dtype)
        case _:
            raise ValueError(f"an input of role {given.role.value} is none of a model that takes its rows unpadded")


def _adapters(rows: Sequence[TokenRow], dtype: str) -> Tensor:
    numbers = [row.adapter for row in rows]
    if any(number is None or number < 0 for number in numbers):
        raise ValueError("the model needs the number of an adapter for each row, and a row has none")
    return np.array(numbers, dtype=dtype)


def _pixels(rows: Sequence[TokenRow]) -> npt.NDArray[np.uint8]:
    """All images' bytes as a view of one bytes object, which the engine sends as it is: they are copied once."""
    images = [np.ascontiguousarray(row.pixels, dtype=np.uint8) for row in rows if row.pixels is not None]
    return np.frombuffer(b"".join(image.data for image in images), dtype=np.uint8)
