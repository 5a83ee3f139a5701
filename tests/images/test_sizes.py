"""The size at which an image is read is transformers' own, over all shapes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.images.sizes import TooNarrow, most_pixels, resized
from tests.conftest import missing_torch, need
from tests.support.image_spec import V4_IMAGES

SIDES = st.one_of(st.integers(1, 400), st.integers(1, 20_000))
BOUNDS = st.sampled_from([(3136, 602_112), (3136, 12_845_056), (200_704, 1_003_520), (784, 784)])


@pytest.fixture(scope="module")
def smart_resize() -> Callable[..., tuple[int, int]]:
    need(missing_torch())
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import smart_resize

    return smart_resize


@given(height=SIDES, width=SIDES, bounds=BOUNDS)
@example(height=1, width=1, bounds=(3136, 602_112))
@example(height=1, width=200, bounds=(3136, 602_112))
@example(height=200, width=1, bounds=(3136, 602_112))
@example(height=1, width=201, bounds=(3136, 602_112))
@example(height=20_000, width=100, bounds=(3136, 602_112))
@example(height=42, width=70, bounds=(784, 12_845_056))
def test_sizes_are_those_of_transformers(
    smart_resize: Callable[..., tuple[int, int]], height: int, width: int, bounds: tuple[int, int]
) -> None:
    spec = replace(V4_IMAGES, min_pixels=bounds[0], max_pixels=bounds[1])
    try:
        expected = smart_resize(height, width, 28, *bounds)
    except ValueError:
        with pytest.raises(TooNarrow):
            resized(height, width, spec)
        return
    assert resized(height, width, spec) == expected
    assert expected[0] * expected[1] <= most_pixels(spec)


@pytest.mark.parametrize(("size", "expected"), [((1, 1), (56, 56)), ((1, 200), (28, 812)), ((3000, 4000), (672, 896))])
def test_examples(size: tuple[int, int], expected: tuple[int, int]) -> None:
    assert resized(*size, V4_IMAGES) == expected
