from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from gateway.caching.row_keys import RowKeys, may_share
from gateway.types import RowGroup, RowOutput, TokenRow

IDS = st.lists(st.integers(0, 2**40), max_size=4)
GROUPS = st.builds(
    RowGroup,
    adapter=st.none() | st.integers(0, 12),
    output=st.sampled_from([RowOutput.VECTOR, RowOutput.RAW_VECTOR, RowOutput.LOGIT]),
)
ROWS = st.builds(
    lambda ids, group, adapter: TokenRow(np.array(ids, dtype=np.int64), group=group, adapter=adapter),
    IDS,
    GROUPS,
    st.none() | st.integers(0, 12),
)


@given(st.lists(ROWS, max_size=30))
def test_keys_are_equal_exactly_where_all_that_a_value_depends_on_is(rows: list[TokenRow]) -> None:
    keys = RowKeys()
    by_key: dict[bytes, set[object]] = {}
    for row in rows:
        by_key.setdefault(keys.key(row), set()).add((row.group, row.adapter, tuple(row.ids.tolist())))
    assert all(len(same) == 1 for same in by_key.values())
    assert len(by_key) == len(set.union(set(), *by_key.values()))


def test_what_has_more_to_it_than_ids_is_not_shared() -> None:
    ids = np.array([1, 2], dtype=np.int64)
    assert may_share(TokenRow(ids))
    assert not may_share(TokenRow(ids, group=RowGroup(output=RowOutput.SPAN_SUMS)))
    assert not may_share(TokenRow(ids, group=RowGroup(output=RowOutput.TOKEN_VECTORS)))
    assert not may_share(TokenRow(ids, group=RowGroup(images=True), pixels=np.zeros((1, 1, 3), dtype=np.uint8)))
