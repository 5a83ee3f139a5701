from __future__ import annotations

from collections import OrderedDict

from hypothesis import given
from hypothesis import strategies as st

from gateway.caching.memory import ENTRY_BYTES, MemoryStore


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


STEPS = st.lists(st.tuples(st.sampled_from(["get", "put"]), st.integers(0, 6), st.integers(0, 500)), max_size=60)


@given(STEPS, st.integers(400, 3000))
def test_it_holds_what_was_used_last_and_never_more_than_it_may(
    steps: list[tuple[str, int, int]], max_bytes: int
) -> None:
    store = MemoryStore(max_bytes=max_bytes, ttl_seconds=10, clock=Clock())
    model: OrderedDict[bytes, bytes] = OrderedDict()
    for verb, number, size in steps:
        key, value = bytes([number]), bytes(size)
        if verb == "get":
            assert store.get(key) == model.get(key)
            if key in model:
                model.move_to_end(key)
        else:
            store.put(key, value)
            model.pop(key, None)
            if size + ENTRY_BYTES <= max_bytes:
                model[key] = value
            while sum(len(one) + ENTRY_BYTES for one in model.values()) > max_bytes:
                model.popitem(last=False)
        assert store.held_bytes == sum(len(one) + ENTRY_BYTES for one in model.values()) <= max_bytes


def test_a_value_is_forgotten_when_its_time_is_over_however_often_it_is_used() -> None:
    clock = Clock()
    store = MemoryStore(max_bytes=10_000, ttl_seconds=10, clock=clock)
    store.put(b"a", b"1")
    clock.now = 9.9
    assert store.get(b"a") == b"1"
    clock.now = 10.0
    assert store.get(b"a") is None
    assert store.held_bytes == 0
