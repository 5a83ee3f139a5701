"""Rows of token ids as the tensors of one call: what a graph is fed, by the roles that its card gives the inputs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gateway.cards.triton_spec import INPUT_TYPES, GraphInput, InputRole
from gateway.triton.engine import Tensor
from gateway.types import Int64Array

# Made once: NumPy looks a type up for each name that it is given.
_INPUT_TYPES = {triton_type: np.dtype(name) for triton_type, name in INPUT_TYPES.items()}


def pad(rows: Sequence[Int64Array], *, pad_id: int, left: bool = False) -> tuple[Int64Array, Int64Array]:
    """Rows (int64 [tokens]) as one int64 [rows, longest], padded on the right, and the 0/1 mask of the same shape.

    The gateway never sends rows padded on the `left`; graphs made here are held to be right for them too.
    """
    if len(rows) == 1:
        ids = rows[0][np.newaxis]
        ones = np.empty(ids.shape, dtype=np.int64)
        ones.fill(1)
        return ids, ones
    sizes = list(map(len, rows))
    longest = max(sizes)
    if min(sizes) == longest:  # at half the cost
        return np.concatenate(rows).reshape(len(rows), longest), np.ones((len(rows), longest), dtype=np.int64)
    lengths = np.array(sizes)
    places = np.arange(longest)
    mask = places >= longest - lengths[:, None] if left else places < lengths[:, None]
    ids = np.full(mask.shape, pad_id, dtype=np.int64)
    ids[mask] = np.concatenate(rows)
    return ids, mask.astype(np.int64)


def input_tensors(
    inputs: Sequence[GraphInput], ids: Int64Array, mask: Int64Array, *, adapter: int | None
) -> dict[str, Tensor]:
    """The tensor for each graph input, by its name; `ids` and `mask` are int64 [rows, longest].

    The adapter has shape [1], which Triton makes the graph's rank 0. Raises `ValueError` where the graph needs one and
    none is given: a graph takes -1 for its last adapter, so that is refused too.
    """
    return {given.tensor.name: _tensor(given, ids, mask, adapter) for given in inputs}


def _tensor(given: GraphInput, ids: Int64Array, mask: Int64Array, adapter: int | None) -> Tensor:
    dtype = _INPUT_TYPES[given.tensor.data_type]
    match given.role:
        case InputRole.TOKEN_IDS:
            return ids.astype(dtype, copy=False)
        case InputRole.ATTENTION_MASK:
            return mask.astype(dtype, copy=False)
        case InputRole.TOKEN_TYPE_IDS:
            return np.zeros(ids.shape, dtype=dtype)
        case InputRole.POSITION_IDS:
            return np.broadcast_to(np.arange(ids.shape[1], dtype=dtype), ids.shape)
        case InputRole.ADAPTER:
            if adapter is None or adapter < 0:
                raise ValueError(f"the graph needs the number of an adapter and was given {adapter}")
            return np.array([adapter], dtype=dtype)
        case _:
            raise ValueError(f"an input of role {given.role.value} is none of a model whose rows are padded")
