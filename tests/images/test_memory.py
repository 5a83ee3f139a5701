"""The memory of images is counted over all requests and given back to the last byte."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import InvalidImage, Overloaded
from gateway.images.memory import ImageMemory


def test_what_others_hold_is_a_matter_of_time_and_what_one_asks_for_alone_is_not() -> None:
    memory = ImageMemory(100)
    with memory.share() as first, memory.share() as second:
        first.take(60)
        with pytest.raises(Overloaded):
            second.take(50)
        second.take(40)
        with pytest.raises(InvalidImage, match="fewer in one request"):
            first.take(41)
        assert memory.taken_bytes == 100
    assert memory.taken_bytes == 0


@given(st.lists(st.integers(0, 60), max_size=10))
def test_a_share_gives_back_what_it_took_whatever_happens(counts: list[int]) -> None:
    memory = ImageMemory(100)
    with suppress(ZeroDivisionError), memory.share() as share:
        for count in counts:
            if memory.taken_bytes + count <= 100:
                share.take(count)
                share.give_back(count // 2)
        raise ZeroDivisionError
    assert memory.taken_bytes == 0
