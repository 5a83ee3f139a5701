"""At what size a model reads an image.

The rule is Qwen2-VL's ("smart resize"): sides become multiples of a unit, the area stays within the model's bounds and
the aspect ratio as near as that allows. It decides vectors, so it follows transformers to the last pixel.
"""

from __future__ import annotations

import math

from gateway.cards.schema import ImageSpec


class TooNarrow(Exception):
    """The image's longer side is more than `max_aspect_ratio` times its shorter one."""


def resized(height: int, width: int, spec: ImageSpec) -> tuple[int, int]:
    """The height and width, in pixels, at which an image of `height` by `width` pixels (1 at least) is read.

    Both are multiples of `unit_pixels`. Raises `TooNarrow`.
    """
    if max(height, width) / min(height, width) > spec.max_aspect_ratio:
        raise TooNarrow
    unit = spec.unit_pixels
    # Python rounds halves to even, as transformers does by the same built-in.
    rounded = round(height / unit) * unit, round(width / unit) * unit
    area = rounded[0] * rounded[1]
    if area > spec.max_pixels:
        shrink = math.sqrt((height * width) / spec.max_pixels)
        return max(unit, math.floor(height / shrink / unit) * unit), max(unit, math.floor(width / shrink / unit) * unit)
    if area < spec.min_pixels:
        stretch = math.sqrt(spec.min_pixels / (height * width))
        return math.ceil(height * stretch / unit) * unit, math.ceil(width * stretch / unit) * unit
    return rounded


def most_pixels(spec: ImageSpec) -> int:
    """No image is read at more pixels than this. Beyond `max_pixels` go long strips, whose shorter side is one unit."""
    unit = spec.unit_pixels
    longest_strip = math.ceil(math.sqrt(spec.max_pixels * spec.max_aspect_ratio) / unit) + 1
    return max(spec.max_pixels, longest_strip * unit * unit) + unit * unit
