"""Which rows share a forward."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from gateway.python_backend.forward_plan import halved, planned

ROWS = st.lists(st.tuples(st.integers(1, 300), st.booleans()), max_size=40)
BUDGETS = st.integers(1, 1000)


def plan(rows: list[tuple[int, bool]], budget: int) -> list[tuple[int, ...]]:
    lengths, images = [length for length, _ in rows], [image for _, image in rows]
    return planned(range(len(rows)), lengths=lengths, images=images, max_tokens=budget)


@given(rows=ROWS, budget=BUDGETS)
def test_every_row_is_computed_once(rows: list[tuple[int, bool]], budget: int) -> None:
    assert sorted(number for group in plan(rows, budget) for number in group) == list(range(len(rows)))


@given(rows=ROWS, budget=BUDGETS)
def test_only_a_row_alone_exceeds_the_budget(rows: list[tuple[int, bool]], budget: int) -> None:
    for group in plan(rows, budget):
        assert len(group) == 1 or max(rows[number][0] for number in group) * len(group) <= budget


@given(rows=ROWS, budget=BUDGETS)
def test_images_and_texts_never_share_a_forward(rows: list[tuple[int, bool]], budget: int) -> None:
    for group in plan(rows, budget):
        assert len({rows[number][1] for number in group}) == 1


@given(rows=ROWS, budget=BUDGETS)
def test_rows_of_like_length_share_a_forward_and_no_room_is_left_that_the_next_row_fits_into(
    rows: list[tuple[int, bool]], budget: int
) -> None:
    groups = plan(rows, budget)
    flat = [number for group in groups for number in group]
    assert flat == sorted(flat, key=lambda number: (rows[number][1], -rows[number][0], number))
    for group, following in itertools.pairwise(groups):
        if rows[group[0]][1] == rows[following[0]][1]:
            assert rows[group[0]][0] * (len(group) + 1) > budget


@given(lengths=st.lists(st.integers(1, 300), min_size=2, max_size=30))
def test_half_the_budget_takes_a_forward_apart(lengths: list[int]) -> None:
    numbers = range(len(lengths))
    images = [False] * len(lengths)
    groups = planned(numbers, lengths=lengths, images=images, max_tokens=halved(numbers, lengths=lengths))
    assert len(groups) > 1
