"""Small pictures for tests: any size, mode and file format, with some structure and some noise in them."""

from __future__ import annotations

import base64
import io

import numpy as np
from PIL import Image


def picture(width: int, height: int, *, seed: int = 0, mode: str = "RGB") -> Image.Image:
    """Waves of random direction and colour under noise: neither flat nor pure noise, and of every seed another."""
    dice = np.random.default_rng(seed)
    rows, columns = np.mgrid[0:height, 0:width]
    turns = dice.uniform(-0.2, 0.2, (3, 2))
    waves = np.stack([np.sin(down * rows + across * columns) for down, across in turns], axis=-1)
    values = 127.5 + 80 * waves + dice.normal(0, 25, waves.shape)
    image = Image.fromarray(np.clip(values, 0, 255).astype(np.uint8))
    if mode == "P":
        return image.quantize(16)
    if mode in ("RGBA", "LA"):
        image.putalpha(Image.fromarray(np.clip(values[..., 0], 0, 255).astype(np.uint8)))
    return image.convert(mode)


def image_file(width: int, height: int, *, seed: int = 0, mode: str = "RGB", kind: str = "PNG") -> bytes:
    written = io.BytesIO()
    picture(width, height, seed=seed, mode=mode).save(written, kind)
    return written.getvalue()


def data_uri(file: bytes, kind: str = "png") -> str:
    return f"data:image/{kind};base64,{base64.b64encode(file).decode()}"
