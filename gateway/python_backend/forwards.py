"""One forward through transformers' own classes, of texts or of images.

Attention is causal and rows are padded on the right, so no token ever sees padding and no mask is needed: SDPA takes
its causal kernels, whose memory does not grow with the square of the length. FlashAttention does the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from gateway.python_backend.call_rows import CallRow
from gateway.python_backend.pixels import PixelReading, grid, patches

# Any id will do: nothing sees it.
_PADDING = 0


def text_states(model: Any, rows: Sequence[CallRow]) -> Any:
    """Final hidden states [rows, longest row, size] of texts; what lies behind a row's end has no meaning."""
    ids = _padded(rows).to(model.device)
    # Told, as the model would otherwise look for what an earlier forward has left in it.
    positions = torch.arange(ids.shape[1], device=model.device).expand(3, *ids.shape)
    return model(input_ids=ids, position_ids=positions, use_cache=False).last_hidden_state


def image_states(model: Any, rows: Sequence[CallRow], reading: PixelReading) -> Any:
    """Final hidden states [rows, longest row, size] of rows with one image each, at three-dimensional positions."""
    ids = _padded(rows)
    images = [row.pixels for row in rows if row.pixels is not None]
    grids = torch.tensor([grid(pixels.shape[0], pixels.shape[1], reading) for pixels in images])
    # A row's own pads are all its image tokens: padding is of another id, and texts take no part.
    kinds = (ids == model.config.image_token_id).int()
    # Computed on the CPU, where it reads single values, and told for the same reason as above.
    positions, _ = model.get_rope_index(ids, mm_token_type_ids=kinds, image_grid_thw=grids)
    # Copied, as what Triton hands over may not be written to, which PyTorch knows no tensors for.
    values = [patches(torch.tensor(pixels, device=model.device), reading) for pixels in images]
    return model(
        input_ids=ids.to(model.device),
        position_ids=positions.to(model.device),
        pixel_values=torch.cat(values).to(model.dtype),
        image_grid_thw=grids.to(model.device),
        use_cache=False,
    ).last_hidden_state


def _padded(rows: Sequence[CallRow]) -> Any:
    ids = np.full((len(rows), max(len(row.ids) for row in rows)), _PADDING, dtype=np.int64)
    for place, row in enumerate(rows):
        ids[place, : len(row.ids)] = row.ids
    return torch.from_numpy(ids)
