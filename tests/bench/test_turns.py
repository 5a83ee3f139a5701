"""Everyone takes part in every repeat, and nobody is always first."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.bench.turns import turns

NAMES = st.lists(st.text(min_size=1), min_size=1, max_size=8, unique=True)


@given(NAMES, st.integers(0, 100))
def test_every_repeat_has_everyone_once(names: list[str], repeat: int) -> None:
    assert sorted(turns(names, repeat=repeat)) == sorted(names)


@given(NAMES, st.integers(0, 100))
def test_over_two_repeats_all_have_the_same_mean_place(names: list[str], repeat: int) -> None:
    first, second = turns(names, repeat=repeat), turns(names, repeat=repeat + 1)
    assert {first.index(name) + second.index(name) for name in names} == {len(names) - 1}
