"""The line: everything once, each caller's in order, and nobody waits for more than a turn of each other caller."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.dialects.runpod_line import Line

ITEMS = st.lists(st.tuples(st.sampled_from("abc"), st.integers()), max_size=30)


def line_of(items: list[tuple[str, int]]) -> Line[tuple[str, int]]:
    line: Line[tuple[str, int]] = Line()
    for item in items:
        line.add(item, caller=item[0])
    return line


def drained(line: Line[tuple[str, int]]) -> list[tuple[str, int]]:
    items = []
    while (item := line.next()) is not None:
        items.append(item)
    assert len(line) == 0
    return items


@given(ITEMS)
def test_everything_comes_once_and_each_callers_in_order(items: list[tuple[str, int]]) -> None:
    out = drained(line_of(items))
    for caller in "abc":
        assert [item for item in out if item[0] == caller] == [item for item in items if item[0] == caller]
    assert len(out) == len(items)


@given(ITEMS)
def test_callers_take_turns(items: list[tuple[str, int]]) -> None:
    """While several wait, nobody has two turns in a row."""
    out = drained(line_of(items))
    for index, (caller, _) in enumerate(out[1:], start=1):
        if caller == out[index - 1][0]:
            assert {item[0] for item in out[index:]} == {caller}


def test_who_comes_late_waits_for_one_turn_of_each_other() -> None:
    line = line_of([("a", number) for number in range(100)])
    assert line.next() == ("a", 0)
    line.add(("b", 0), caller="b")
    assert [line.next(), line.next()] == [("a", 1), ("b", 0)]


@given(ITEMS, st.integers())
def test_what_is_taken_out_is_what_was_wanted(items: list[tuple[str, int]], bound: int) -> None:
    line = line_of(items)
    taken = line.take_out(lambda item: item[1] > bound)
    assert sorted(taken) == sorted(item for item in items if item[1] > bound)
    assert len(line) == len(items) - len(taken)
    assert sorted(drained(line)) == sorted(item for item in items if item[1] <= bound)
