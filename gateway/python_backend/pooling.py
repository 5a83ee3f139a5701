"""From hidden states to finished vectors, in float32 and on the device.

Hidden states stay as they are: of a long row, float32 values exist for one slice of tokens at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch.nn.functional import normalize

SLICE_TOKENS = 4096


def mean_vectors(states: Any, ranges: Sequence[tuple[int, int]]) -> Any:
    """float32 [rows, size] of unit length: of each row of `states` [rows, tokens, size] the mean over its half-open
    range of tokens. A row with NaN stays NaN."""
    sums = [span_sum(states[row], start, end) / (end - start) for row, (start, end) in enumerate(ranges)]
    return normalize(torch.stack(sums), dim=-1)


def span_sum(states: Any, start: int, end: int) -> Any:
    """float32 [size], the sum of one row's `states` [tokens, size] over a half-open range of tokens."""
    total = torch.zeros(states.shape[-1], dtype=torch.float32, device=states.device)
    for first in range(start, end, SLICE_TOKENS):
        total += states[first : min(first + SLICE_TOKENS, end)].sum(dim=0, dtype=torch.float32)
    return total


def token_vectors(states: Any, projector: Any) -> Any:
    """float32 [rows, tokens, size], each of unit length: the projection of every hidden state."""
    step = max(1, SLICE_TOKENS // states.shape[0])
    slices = [states[:, first : first + step] for first in range(0, states.shape[1], step)]
    return torch.cat([normalize(projector(part).float(), dim=-1) for part in slices], dim=1)
