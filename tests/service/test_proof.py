from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from gateway.service.proof import Proof


@given(st.lists(st.booleans(), max_size=20))
def test_a_stretch_ends_with_the_first_doubt_and_never_comes_again(told: list[bool]) -> None:
    proof = Proof()
    assert proof.stretch is None
    seen = []
    for ready in told:
        proof.tell(ready=ready)
        assert (proof.stretch is not None) is ready
        seen.append(proof.stretch)
    for earlier, later in pairwise(seen):
        assert earlier is None or later in (earlier, None)
    ended = {one for place, one in enumerate(seen[:-1]) if seen[place + 1] is None}
    for place, one in enumerate(seen):
        if one is None:
            assert not ended & {later for later in seen[place:] if later is not None and later in seen[:place]}
