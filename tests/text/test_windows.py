from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.text.windows import spans_within, windows

counts = st.integers(1, 400)
sizes = st.integers(1, 60).flatmap(lambda window: st.tuples(st.just(window), st.integers(0, window - 1)))


@given(token_count=counts, size=sizes)
def test_every_token_is_kept_exactly_once_and_no_window_is_for_nothing(token_count: int, size: tuple[int, int]) -> None:
    max_tokens, overlap = size
    found = windows(token_count, max_tokens=max_tokens, overlap=overlap)
    kept = [token for window in found for token in range(window.kept_from, window.end)]
    assert kept == list(range(token_count))
    assert all(window.start <= window.kept_from < window.end for window in found)
    assert all(window.end - window.start <= max_tokens for window in found)
    assert [window.start for window in found] == [number * (max_tokens - overlap) for number in range(len(found))]
    assert [window.kept_from - window.start for window in found] == [0] + [overlap] * (len(found) - 1)


@pytest.mark.parametrize("overlap", [-1, 32, 33])
def test_windows_that_would_never_get_on_are_refused(overlap: int) -> None:
    with pytest.raises(ValueError):
        windows(100, max_tokens=32, overlap=overlap)


@pytest.mark.parametrize(
    ("token_count", "expected"),
    [
        (8192, [(0, 8192, 0)]),
        (8193, [(0, 8192, 0), (7936, 8193, 8192)]),
        # Stepping until the tokens end would add a window of 56 tokens, all of them in the overlap.
        (7936 + 8192, [(0, 8192, 0), (7936, 16128, 8192)]),
        (3 * 7936, [(0, 8192, 0), (7936, 16128, 8192), (15872, 23808, 16128)]),
    ],
)
def test_the_published_sizes(token_count: int, expected: list[tuple[int, int, int]]) -> None:
    found = windows(token_count, max_tokens=8192, overlap=256)
    assert [(window.start, window.end, window.kept_from) for window in found] == expected


@given(token_count=counts, size=sizes, cuts=st.lists(st.integers(0, 400), max_size=8))
def test_spans_meet_in_windows_what_they_hold(token_count: int, size: tuple[int, int], cuts: list[int]) -> None:
    max_tokens, overlap = size
    edges = sorted({0, token_count, *(cut for cut in cuts if cut < token_count)})
    # The last two share their tokens, as parts do that one token covers.
    spans = np.array([*pairwise(edges), (edges[-2], edges[-1])], dtype=np.int64)
    gathered: list[list[int]] = [[] for _ in spans]
    for window in windows(token_count, max_tokens=max_tokens, overlap=overlap):
        row = list(range(window.start, window.end))
        numbers, local = spans_within(spans, window)
        assert len(numbers), "every window has a span"
        for number, (start, end) in zip(numbers.tolist(), local.tolist(), strict=True):
            assert start < end
            gathered[number] += row[start:end]
    assert gathered == [list(range(start, end)) for start, end in spans.tolist()]
