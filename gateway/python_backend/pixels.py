"""Pixels as the vision tower reads them: normalised, and cut into patches in the order in which it merges them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from gateway.python_backend.faults import LoadError
from gateway.python_backend.network_config import read_json

Triple = tuple[float, float, float]

# Of CLIP (Radford et al. 2021), whose values the whole Qwen family takes.
_CLIP_MEAN: Triple = (0.48145466, 0.4578275, 0.40821073)
_CLIP_STD: Triple = (0.26862954, 0.26130258, 0.27577711)
_PREPARATION_FILE = "preprocessor_config.json"


@dataclass(frozen=True, slots=True)
class PixelReading:
    """How uint8 pixels become values: (pixel * scale - mean) / std for each colour; and how they are cut: patches of
    `patch` by `patch` pixels, each shown `frames` times, `merge` by `merge` of which become one token."""

    patch: int
    frames: int
    merge: int
    scale: float = 1 / 255
    mean: Triple = _CLIP_MEAN
    std: Triple = _CLIP_STD

    @property
    def unit_pixels(self) -> int:
        """Side of what one image token stands for."""
        return self.patch * self.merge


def read_pixel_reading(folder: Path, vision: Any) -> PixelReading:
    """From the checkpoint's own preprocessor_config.json where it has one; `vision` is the network's vision config.

    Raises `LoadError` where the two do not fit together.
    """
    own = PixelReading(vision.patch_size, vision.temporal_patch_size, vision.spatial_merge_size)
    path = folder / _PREPARATION_FILE
    if not path.is_file():
        return own
    raw = read_json(path)
    sizes = {"patch_size": own.patch, "temporal_patch_size": own.frames, "merge_size": own.merge}
    wrong = [name for name, size in sizes.items() if raw.get(name, size) != size]
    wrong += [name for name in ("do_normalize", "do_rescale") if raw.get(name) is False]
    if wrong:
        raise LoadError(f"{path.name} does not fit config.json in {', '.join(wrong)}.")
    scale = float(raw.get("rescale_factor", own.scale))
    mean, std = _triple(raw, "image_mean", own.mean), _triple(raw, "image_std", own.std)
    return PixelReading(own.patch, own.frames, own.merge, scale, mean, std)


def _triple(raw: dict[str, Any], name: str, default: Triple) -> Triple:
    values = raw.get(name) or default
    if not isinstance(values, Sequence) or len(values) != 3:
        raise LoadError(f"{_PREPARATION_FILE} has no three values of {name}.")
    red, green, blue = (float(value) for value in values)
    return red, green, blue


def patches(pixels: Any, reading: PixelReading) -> Any:
    """float32 [patches, 3 * frames * patch * patch] of a uint8 tensor [height, width, 3], on the tensor's device.

    The `merge` by `merge` patches of one token follow one another: the order of transformers' Qwen2VLImageProcessor.
    """
    height, width, _ = pixels.shape
    size, merge, unit = reading.patch, reading.merge, reading.unit_pixels
    mean, std = (torch.tensor(part, dtype=torch.float32, device=pixels.device) for part in (reading.mean, reading.std))
    values = (pixels.float() * reading.scale - mean) / std
    cells = values.view(height // unit, merge, size, width // unit, merge, size, 3)
    # To rows and columns of tokens, of patches within a token, colour, rows and columns of pixels within a patch.
    ordered = cells.permute(0, 3, 1, 4, 6, 2, 5).unsqueeze(5)
    shown = ordered.expand(*ordered.shape[:5], reading.frames, size, size)
    return shown.reshape(height * width // size**2, 3 * reading.frames * size**2)


def grid(height: int, width: int, reading: PixelReading) -> tuple[int, int, int]:
    """Frames, rows and columns of patches of an image of this size in pixels."""
    return 1, height // reading.patch, width // reading.patch
