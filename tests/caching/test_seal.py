from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.caching.seal import Seal

BYTES = st.binary(max_size=64)


@given(BYTES, BYTES, st.integers(0, 200), st.integers(1, 255))
def test_only_what_was_sealed_for_this_key_is_opened(key: bytes, value: bytes, place: int, change: int) -> None:
    seal = Seal(b"s" * 16)
    closed = seal.close(key, value)
    assert seal.open(key, closed, size=len(value)) == value
    broken = bytearray(closed)
    broken[place % len(broken)] ^= change
    assert seal.open(key, bytes(broken), size=len(value)) is None
    assert seal.open(key + b"x", closed, size=len(value)) is None
    assert seal.open(key, closed, size=len(value) + 1) is None
    assert seal.open(key, closed + b"x", size=len(value)) is None
    assert Seal(b"t" * 16).open(key, closed, size=len(value)) is None


@given(BYTES, BYTES)
def test_where_the_key_ends_is_part_of_the_seal(key: bytes, value: bytes) -> None:
    seal = Seal(b"s" * 16)
    closed = seal.close(key + b"a", value)
    assert seal.open(key, closed[:16] + b"a" + value, size=len(value) + 1) is None
