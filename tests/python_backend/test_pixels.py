"""Pixels to patches, beside transformers' own image processor."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import Qwen2_5_VLConfig
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from gateway.python_backend.faults import LoadError
from gateway.python_backend.pixels import PixelReading, grid, patches, read_pixel_reading
from tests.python_backend.checkpoints import copied, with_json

VISION = Qwen2_5_VLConfig().vision_config
FILE = "preprocessor_config.json"


@pytest.mark.parametrize("size", [(28, 28), (28, 196), (140, 56), (336, 448)])
def test_patches_are_those_of_transformers(v4_folder: Path, size: tuple[int, int]) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (*size, 3), dtype=np.uint8)
    processor = Qwen2VLImageProcessorPil.from_pretrained(v4_folder, do_resize=False)
    expected = processor(images=[Image.fromarray(pixels)], return_tensors="pt")
    reading = read_pixel_reading(v4_folder, VISION)
    made = patches(torch.from_numpy(pixels), reading)
    assert made.dtype == torch.float32
    assert made.shape == expected["pixel_values"].shape
    assert (made - expected["pixel_values"]).abs().max() <= 1e-6
    assert list(grid(*size, reading)) == expected["image_grid_thw"][0].tolist()


def test_without_a_file_of_its_own_the_familys_values_hold(v4_folder: Path, tmp_path: Path) -> None:
    assert read_pixel_reading(tmp_path, VISION) == read_pixel_reading(v4_folder, VISION) == PixelReading(14, 2, 2)


def test_the_checkpoints_own_values_hold(v4_folder: Path, tmp_path: Path) -> None:
    folder = copied(v4_folder, tmp_path / "1")
    with_json(folder / FILE, image_mean=[0.1, 0.2, 0.3], image_std=[0.4, 0.5, 0.6], rescale_factor=1 / 128)
    reading = read_pixel_reading(folder, VISION)
    assert (reading.mean, reading.std, reading.scale) == ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6), 1 / 128)
    value = patches(torch.full((28, 28, 3), 64, dtype=torch.uint8), reading)[0].view(3, -1)
    np.testing.assert_allclose(value[:, 0], [(0.5 - 0.1) / 0.4, (0.5 - 0.2) / 0.5, (0.5 - 0.3) / 0.6], rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[("patch_size", 16), ("temporal_patch_size", 1), ("merge_size", 4)],
        *[("do_normalize", False), ("do_rescale", False), ("image_mean", [0.5]), ("image_std", 0.5)],
    ],
)
def test_values_that_do_not_fit_are_named(v4_folder: Path, tmp_path: Path, name: str, value: object) -> None:
    folder = copied(v4_folder, tmp_path / "1")
    with_json(folder / FILE, **{name: value})
    with pytest.raises(LoadError, match=name):
        read_pixel_reading(folder, VISION)
