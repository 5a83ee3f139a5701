"""A vector that is not the ceiling's voids the run, however it is hidden."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.bench.contenders import CeilingContender, Contest
from gateway.bench.measurement import Generator, Load
from gateway.bench.parity import CHECKED_TEXTS, LEAST_COSINE, Parity, largest_difference, least_cosine, probe_texts
from gateway.bench.run import Outcome, compare_vectors, judge
from gateway.bench.workloads import ClosedLoad
from gateway.types import Float32Array


def embed(texts: Sequence[str]) -> Float32Array:
    return np.array([[len(text), text.count("e"), 1.0] for text in texts], np.float32)


def answer(vectors: Float32Array) -> bytes:
    rows = [
        {"index": place, "embedding": base64.b64encode(row.tobytes()).decode()} for place, row in enumerate(vectors)
    ]
    return json.dumps({"data": rows}).encode()


@given(st.floats(min_value=0, max_value=1.0), st.integers(0, 2), st.integers(0, 2))
def test_one_value_that_is_off_is_the_largest_difference(off: float, row: int, column: int) -> None:
    expected = np.zeros((3, 3), np.float32)
    found = expected.copy()
    found[row, column] = -off
    assert largest_difference(found, expected) == pytest.approx(off, rel=1e-6)


@pytest.mark.parametrize(
    "found", [np.zeros((2, 3)), np.zeros((3, 2)), np.full((3, 3), np.nan), np.full((3, 3), np.inf)]
)
def test_other_shapes_and_no_numbers_are_infinitely_far(found: Float32Array) -> None:
    assert largest_difference(found.astype(np.float32), np.zeros((3, 3), np.float32)) == math.inf


@given(st.floats(0.0, 3.1), st.integers(0, 2), st.floats(0.1, 10))
def test_the_row_that_is_turned_furthest_is_the_least_cosine_whatever_its_length(
    angle: float, row: int, length: float
) -> None:
    expected = np.tile(np.array([1.0, 0.0], np.float32), (3, 1))
    found = expected.copy()
    found[row] = np.array([math.cos(angle), math.sin(angle)], np.float32) * np.float32(length)
    assert least_cosine(found, expected) == pytest.approx(math.cos(angle), abs=1e-5)


@pytest.mark.parametrize("found", [np.zeros((2, 3)), np.zeros((3, 3)), np.full((3, 3), np.nan)])
def test_other_shapes_and_vectors_of_no_length_have_no_cosine(found: Float32Array) -> None:
    assert least_cosine(found.astype(np.float32), np.ones((3, 3), np.float32)) == -1.0


@given(st.integers(1, 40))
def test_of_an_answer_first_and_last_are_among_those_that_are_computed_again(count: int) -> None:
    texts = ["e" * (place % 7) for place in range(count)]
    for wrong in {0, count - 1}:
        parity, vectors = Parity(embed), embed(texts)
        parity.compare_answer("gateway", texts, answer(vectors))
        assert parity.holds("gateway")
        assert parity.checked["gateway"] == min(count, CHECKED_TEXTS)
        vectors[wrong, 0] += 1e-3
        parity.compare_answer("gateway", texts, answer(vectors))
        assert not parity.holds("gateway")
        # A right answer afterwards mends nothing.
        parity.compare_answer("gateway", texts, answer(embed(texts)))
        assert not parity.holds("gateway")


@pytest.mark.parametrize("body", [b"", b"{}", answer(embed(["one"])), answer(embed(["one", "two", "three"]))])
def test_an_answer_with_other_things_in_it_is_no_parity(body: bytes) -> None:
    parity = Parity(embed)
    parity.compare_answer("gateway", ["one", "two"], body)
    assert not parity.holds("gateway")


def test_the_order_of_an_answer_counts() -> None:
    parity, texts = Parity(embed), ["one", "three"]
    parity.compare_answer("gateway", texts, answer(embed(texts)[::-1]))
    assert not parity.holds("gateway")


@dataclass(frozen=True)
class Off:
    """A contender whose vectors are off by so much; None gives none."""

    name: str
    by: float | None
    generator: Generator = Generator.PYTHON
    server_pid: int | None = None

    def embed(self, texts: Sequence[str]) -> Float32Array:
        if self.by is None:
            raise RuntimeError("the server answered 500")
        return embed(texts) + np.float32(self.by)

    def under(self, load: ClosedLoad, *, seconds: float) -> Load:
        raise NotImplementedError


@dataclass(frozen=True)
class Turned(Off):
    """As `Off`, but its vectors have this cosine with the right ones."""

    by: float = 1.0

    def embed(self, texts: Sequence[str]) -> Float32Array:
        right = embed(texts).astype(np.float64)
        lengths = np.linalg.norm(right, axis=1, keepdims=True)
        across = np.cross(right, np.array([0.0, 0.0, 1.0]) + right[:, ::-1])
        across *= lengths / np.linalg.norm(across, axis=1, keepdims=True)
        return (self.by * right + math.sqrt(1 - self.by**2) * across).astype(np.float32)


def judged(*contenders: Off, by_cosine: Sequence[str] = ()) -> Outcome:
    parity, outcome = Parity(embed, by_cosine=by_cosine.__contains__), Outcome()
    compare_vectors(contenders, parity, outcome)
    judge(contenders, parity, outcome)
    return outcome


def test_equal_vectors_make_a_run_that_counts() -> None:
    outcome = judged(Off("ceiling", 0.0), Off("grpc", 0.0), Off("gateway", 0.0), Off("rival", 0.0))
    assert outcome.void is None
    assert outcome.warnings == []
    assert [(one.contender, one.holds) for one in outcome.parity] == [
        ("grpc", True),
        ("gateway", True),
        ("rival", True),
    ]


@pytest.mark.parametrize("name", ["grpc", "gateway"])
@pytest.mark.parametrize("by", [1e-3, None, math.nan])
def test_what_is_ours_and_differs_voids_the_run(name: str, by: float | None) -> None:
    outcome = judged(Off("ceiling", 0.0), Off(name, by))
    assert outcome.void is not None
    assert name in outcome.void


def test_another_server_that_differs_is_told_and_voids_nothing() -> None:
    outcome = judged(Off("ceiling", 0.0), Off("gateway", 0.0), Off("rival", 1e-3))
    assert outcome.void is None
    assert "rival computes something else" in " ".join(outcome.warnings)


@pytest.mark.parametrize("name", ["gateway", "grpc", "gateway-fast"])
def test_what_is_fast_is_judged_by_the_cosine_and_voids_the_run_below_it(name: str) -> None:
    near, far = LEAST_COSINE + 5e-5, LEAST_COSINE - 5e-5
    assert judged(Turned("ceiling"), Turned(name, near), by_cosine=[name]).void is None
    void = judged(Turned("ceiling"), Turned(name, far), by_cosine=[name]).void
    assert void is not None
    assert "0.99985" in void
    # What claims to be exact is not excused by its cosine.
    assert judged(Turned("ceiling"), Turned(name, near)).void is not None


def test_a_contest_judges_by_the_cosine_what_is_not_ours_or_fast() -> None:
    ceiling = CeilingContender(None)  # type: ignore[arg-type]
    contest = Contest("m", ceiling, None, (), None, frozenset({"gateway-fast"}))
    names = ["grpc", "gateway", "gateway-fast", "gateway-cached", "rival"]
    assert [name for name in names if contest.is_by_cosine(name)] == ["gateway-fast", "rival"]


def test_probes_are_of_all_lengths() -> None:
    lengths = [len(text.split()) for text in probe_texts()]
    assert min(lengths) <= 12
    assert max(lengths) == 200
