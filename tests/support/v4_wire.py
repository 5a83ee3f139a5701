"""Calls to a model that takes its rows unpadded, built by the words of its card and without the gateway's own code."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gateway.triton.engine import InferCall, Tensor

Span = tuple[int, int]


@dataclass(frozen=True, slots=True, eq=False)
class WireRow:
    """`pixels` is uint8 [height, width, 3]; `spans` are half-open token ranges."""

    ids: Sequence[int]
    adapter: int = 0
    pixels: np.ndarray | None = None
    spans: tuple[Span, ...] = ()


def wire_call(model: str, rows: Sequence[WireRow], *outputs: str, adapters: bool = True) -> InferCall:
    inputs: dict[str, Tensor] = {
        "token_ids": np.concatenate([np.array(row.ids, np.int32) for row in rows]),
        "row_lengths": np.array([len(row.ids) for row in rows], np.int32),
    }
    if adapters:
        inputs["row_adapters"] = np.array([row.adapter for row in rows], np.int32)
    if any(row.pixels is not None for row in rows):
        images = [np.empty((0, 0, 3), np.uint8) if row.pixels is None else row.pixels for row in rows]
        inputs["image_sizes"] = np.array([image.shape[:2] for image in images], np.int32)
        inputs["pixels"] = np.concatenate([image.reshape(-1) for image in images])
    if any(row.spans for row in rows):
        inputs["spans"] = np.array([span for row in rows for span in row.spans], np.int32)
        inputs["span_counts"] = np.array([len(row.spans) for row in rows], np.int32)
    return InferCall(model=model, inputs=inputs, outputs=outputs)


def by_row(values: np.ndarray, counts: Sequence[int]) -> list[np.ndarray]:
    """What several rows have several of each, taken apart."""
    assert len(values) == sum(counts)
    return np.split(values, np.cumsum(counts)[:-1])
