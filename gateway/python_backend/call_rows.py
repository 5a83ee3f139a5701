"""The tensors of a call, checked and cut into rows: whatever is sent, the model never sees what it would choke on.

On a GPU a token id outside of the vocabulary ends all further work of the process, so nothing is left to the model.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from gateway.python_backend.faults import CallError

IntArray = npt.NDArray[np.int64]
PixelArray = npt.NDArray[np.uint8]
Tensors = Mapping[str, npt.NDArray[Any]]

# Above it a product of two sides and their sum over rows might no longer fit into 64 bits.
_MAX_SIDE_PIXELS = 1 << 20


@dataclass(frozen=True, slots=True)
class ReadableRows:
    """What rows have to fit: `adapters` are how many there are to choose from, `unit_pixels` the side of what one
    image token stands for."""

    vocabulary: int
    adapters: int
    image_token: int
    vision_start: int
    vision_end: int
    unit_pixels: int


@dataclass(frozen=True, slots=True)
class CallRow:
    """One row. `ids` is int64 [tokens]; its embedding is the mean over the half-open range `pooled_start` to
    `pooled_end`. `spans` is int64 [spans, 2]. `pixels` is uint8 [height, width, 3] for an image, None for a text."""

    ids: IntArray
    adapter: int
    pooled_start: int
    pooled_end: int
    spans: IntArray
    pixels: PixelArray | None = None


def read_rows(tensors: Tensors, readable: ReadableRows) -> list[CallRow]:
    """The rows of a call by their order. Raises `CallError`, which names the tensor that is wrong."""
    lengths = _counts(tensors, "row_lengths", least=1)
    ids = _cut(_integers(tensors, "token_ids", (-1,)), lengths, "token_ids", "row_lengths")
    _check_ids(ids, readable)
    adapters = _integers(tensors, "row_adapters", (len(lengths),))
    if np.any((adapters < 0) | (adapters >= readable.adapters)):
        raise CallError(f"row_adapters has to be from 0 to {readable.adapters - 1}.")
    spans = _spans(tensors, lengths)
    pixels = _pixels(tensors, len(lengths), readable)
    return [_row(*parts, readable) for parts in zip(ids, adapters.tolist(), spans, pixels, strict=True)]


def _row(ids: IntArray, adapter: int, spans: IntArray, pixels: PixelArray | None, readable: ReadableRows) -> CallRow:
    """A text's embedding is over all its tokens, an image's over its markers and what is between them."""
    if pixels is None:
        return CallRow(ids, adapter, 0, len(ids), spans)
    start = _only_place(ids, readable.vision_start)
    end = _only_place(ids, readable.vision_end)
    units = pixels.shape[0] * pixels.shape[1] // readable.unit_pixels**2
    pads = np.flatnonzero(ids == readable.image_token)
    if not np.array_equal(pads, np.arange(start + 1, end)) or len(pads) != units:
        raise CallError(f"token_ids of an image have {len(pads)} places for it between its markers, it needs {units}.")
    return CallRow(ids, adapter, start, end + 1, spans, pixels)


def _only_place(ids: IntArray, token: int) -> int:
    places = np.flatnonzero(ids == token)
    if len(places) != 1:
        raise CallError(f"token_ids of an image have {len(places)} markers {token}; one is needed.")
    return int(places[0])


def _check_ids(rows: list[IntArray], readable: ReadableRows) -> None:
    if any(ids.min() < 0 or ids.max() >= readable.vocabulary for ids in rows):
        raise CallError(f"token_ids has to be from 0 to {readable.vocabulary - 1}.")


def _spans(tensors: Tensors, lengths: IntArray) -> list[IntArray]:
    if "spans" not in tensors and "span_counts" not in tensors:
        return [np.empty((0, 2), np.int64)] * len(lengths)
    counts = _counts(tensors, "span_counts", least=0)
    if len(counts) != len(lengths):
        raise CallError(f"span_counts has {len(counts)} rows, row_lengths has {len(lengths)}.")
    rows = _cut(_integers(tensors, "spans", (-1, 2)), counts, "spans", "span_counts")
    for spans, length in zip(rows, lengths, strict=True):
        if np.any((spans[:, 0] < 0) | (spans[:, 0] >= spans[:, 1]) | (spans[:, 1] > length)):
            raise CallError("spans has to hold ranges that are not empty and lie within their row.")
    return rows


def _pixels(tensors: Tensors, rows: int, readable: ReadableRows) -> list[PixelArray | None]:
    if "pixels" not in tensors and "image_sizes" not in tensors:
        return [None] * rows
    sizes = _integers(tensors, "image_sizes", (rows, 2))
    misfits = (sizes < 0) | (sizes > _MAX_SIDE_PIXELS) | (sizes % readable.unit_pixels != 0)
    if np.any(misfits) or np.any((sizes[:, 0] == 0) != (sizes[:, 1] == 0)):
        raise CallError(f"image_sizes has to hold multiples of {readable.unit_pixels}, or 0 and 0 for a text.")
    values = _tensor(tensors, "pixels", (-1,))
    if values.dtype != np.uint8:
        raise CallError("pixels has to be of type UINT8.")
    flat = _cut(values, sizes.prod(axis=1) * 3, "pixels", "image_sizes")
    return [
        part.reshape(height, width, 3) if height else None
        for part, (height, width) in zip(flat, sizes.tolist(), strict=True)
    ]


def _counts(tensors: Tensors, name: str, *, least: int) -> IntArray:
    counts = _integers(tensors, name, (-1,))
    if np.any(counts < least):
        raise CallError(f"{name} has to be at least {least} for every row.")
    return counts


def _cut(values: Any, counts: IntArray, name: str, counts_name: str) -> list[Any]:
    if counts.sum() != len(values):
        raise CallError(f"{name} has {len(values)} values, by {counts_name} it has to have {counts.sum()}.")
    return np.split(values, np.cumsum(counts)[:-1]) if len(counts) else []


def _integers(tensors: Tensors, name: str, shape: tuple[int, ...]) -> IntArray:
    values = _tensor(tensors, name, shape)
    if not np.issubdtype(values.dtype, np.integer):
        raise CallError(f"{name} has to be of type INT32.")
    return values.astype(np.int64)


def _tensor(tensors: Tensors, name: str, shape: tuple[int, ...]) -> npt.NDArray[Any]:
    """The input `name`, whose shape has to be `shape`, -1 for any."""
    values = tensors.get(name)
    if values is None:
        raise CallError(f"{name} is missing.")
    if values.ndim != len(shape) or any(want not in (-1, have) for want, have in zip(shape, values.shape, strict=True)):
        raise CallError(f"{name} has shape {list(values.shape)}; it has to be {list(shape)}.")
    return values
