"""The page's own arithmetic, run by the browser, against NumPy's."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from tests.dialects.front_page.conftest import Showing
from tests.support.chromium import Tab

SHAPES = [(2, 3), (3, 2), (5, 384), (12, 40), (60, 33), (7, 1)]


@pytest.fixture(scope="module")
def tab(showing: Showing) -> Iterator[Tab]:
    with showing(ready=False) as shown:
        yield shown.tab


def drawn(rows: int, size: int, seed: int = 0) -> np.ndarray:
    """As a model's vectors are: not centred, some dimensions larger than others."""
    source = np.random.default_rng([rows, size, seed])
    return np.asarray(source.standard_normal((rows, size)) * source.random(size) + 0.3)


def unit(rows: np.ndarray) -> np.ndarray:
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True))


def test_cosines(tab: Tab) -> None:
    for rows, size in SHAPES:
        vectors = drawn(rows, size) * 7
        found = np.array(tab.call("similarity.js", "cosines", vectors.tolist()))
        np.testing.assert_allclose(found, unit(vectors) @ unit(vectors).T, atol=1e-12)
        assert (found == found.T).all()
        assert np.abs(found).max() <= 1


def test_a_vector_without_length_is_like_nothing(tab: Tab) -> None:
    assert tab.call("similarity.js", "cosine", [0, 0], [1, 0]) == 0
    assert tab.call("similarity.js", "cosine", [0, 0], [0, 0]) == 0
    assert tab.call("similarity.js", "cosine", [1, 2], [-2, -4]) == -1


def test_late_interaction(tab: Tab) -> None:
    texts = [unit(drawn(tokens, 16, tokens)) for tokens in (1, 4, 9)]
    found = np.array(tab.call("similarity.js", "lateInteractions", [one.tolist() for one in texts]))
    for row, one in enumerate(texts):
        for column, other in enumerate(texts):
            likeness = one @ other.T
            expected = (likeness.max(axis=1).mean() + likeness.max(axis=0).mean()) / 2
            assert found[row, column] == pytest.approx(expected, abs=1e-12)


def test_pairs_and_nearest(tab: Tab) -> None:
    similarities = [[1, 0.2, 0.9], [0.2, 1, -0.4], [0.9, -0.4, 1]]
    assert tab.call("similarity.js", "pairs", similarities) == [
        {"one": 0, "other": 2, "similarity": 0.9},
        {"one": 0, "other": 1, "similarity": 0.2},
        {"one": 1, "other": 2, "similarity": -0.4},
    ]
    assert tab.call("similarity.js", "nearest", similarities, 1) == {"index": 0, "similarity": 0.2}
    assert tab.call("similarity.js", "nearest", [[1]], 0) is None
    assert tab.call("similarity.js", "mean", [[1, 2], [3, 6]]) == [2, 4]


def principal_components(vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates on both axes, each axis with the farthest vector on its positive side, and shares of variance."""
    left, strengths, _ = np.linalg.svd(vectors - vectors.mean(axis=0), full_matrices=False)
    points = np.zeros((len(vectors), 2))
    kept = min(2, len(strengths))
    points[:, :kept] = (left * strengths)[:, :kept]
    farthest = points[np.abs(points).argmax(axis=0), [0, 1]]
    shares = np.zeros(2)
    shares[:kept] = (strengths**2 / (strengths**2).sum())[:kept]
    return points * np.where(farthest < 0, -1, 1), shares


def test_the_projection_is_the_principal_components(tab: Tab) -> None:
    for rows, size in SHAPES:
        vectors = drawn(rows, size, 1)
        found = tab.call("projection.js", "project", vectors.tolist())
        points, shares = principal_components(vectors)
        np.testing.assert_allclose(found["points"], points, atol=1e-9)
        np.testing.assert_allclose(found["shares"], shares, atol=1e-9)


@pytest.mark.parametrize(
    "vectors", [[[1, 2, 3]], [[1, 2, 3], [1, 2, 3]], [[0, 0], [0, 0], [0, 0]]], ids=["alone", "equal", "zeros"]
)
def test_vectors_that_do_not_differ_are_one_point(tab: Tab, vectors: list[list[float]]) -> None:
    found = tab.call("projection.js", "project", vectors)
    assert found == {"points": [[0, 0]] * len(vectors), "shares": [0, 0]}


def test_vectors_on_a_line_have_one_axis(tab: Tab) -> None:
    found = tab.call("projection.js", "project", [[0, 0, 0], [1, 1, 0], [4, 4, 0]])
    assert found["shares"] == pytest.approx([1, 0])
    assert [y for _, y in found["points"]] == [0, 0, 0]
    steps = np.diff([x for x, _ in found["points"]])
    assert steps == pytest.approx([2**0.5, 3 * 2**0.5])


@pytest.mark.parametrize(("value", "level"), [(0.2, 0), (0.8, 11), (0.51, 6), (-1, 0), (2, 11), (0.21, 0), (0.79, 11)])
def test_colours_are_in_proportion(tab: Tab, value: float, level: int) -> None:
    assert tab.call("heat_map.js", "level", value, {"low": 0.2, "high": 0.8}) == level


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0.00"), (-0.001, "0.00"), (-0.126, "−0.13"), (1, "1.00"), (0.554, "0.55")]
)
def test_numbers_are_written_with_two_decimals(tab: Tab, value: float, text: str) -> None:
    assert tab.call("heat_map.js", "number", value) == text


TIMING = {"waiting": 12.0, "receiving": 1.0, "parsing": 0.5}


@pytest.mark.parametrize(
    ("own", "expected"),
    [
        ({"stages": {"tokenize": 1.0, "infer": 6.0}, "processing": 9.0}, {"gateway": 9.0, "way": 4.0, "page": 0.5}),
        ({"stages": {}, "processing": 9}, {"gateway": 9.0, "way": 4.0, "page": 0.5}),
        ({"stages": {}, "processing": None}, {"gateway": 0.0, "way": 13.0, "page": 0.5}),
        # Of several calls the longest each, which may be more than the whole took.
        ({"stages": {"queue": 8.0, "infer": 6.0}, "processing": 13.0}, {"gateway": 14.0, "way": 1.0, "page": 0.5}),
    ],
)
def test_every_millisecond_is_somewhere_and_none_is_negative(
    tab: Tab, own: dict[str, object], expected: dict[str, float]
) -> None:
    parts = tab.call("timing_view.js", "partsOf", TIMING | own)
    assert min(part["milliseconds"] for part in parts) >= 0
    for kind, milliseconds in expected.items():
        found = sum(part["milliseconds"] for part in parts if part["kind"] == kind)
        assert found == pytest.approx(milliseconds)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (
            "tokenize;dur=0.41, infer;dur=3.10, total;dur=4.00",
            {"stages": {"tokenize": 0.41, "infer": 3.1}, "processing": 4},
        ),
        ("cdn;desc=x;dur=1, infer;dur=-3, total;dur=x", {"stages": {}, "processing": 7}),
        ("", {"stages": {}, "processing": 7}),
    ],
)
def test_the_gateways_own_word_is_read(tab: Tab, header: str, expected: dict[str, object]) -> None:
    given = f"new Headers({{'server-timing': {header!r}, 'openai-processing-ms': '7'}})"
    assert tab.evaluate(f"import('/page-assets/gateway.js').then(({{ownWord}}) => ownWord({given}))") == expected
