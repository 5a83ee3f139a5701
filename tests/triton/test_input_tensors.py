"""Padding to either side, and every role's tensor in the type that the graph takes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.cards.triton_spec import INPUT_TYPES, GraphInput, InputRole, TensorSpec
from gateway.triton.input_tensors import input_tensors, pad

Rows = list[list[int]]

# The others are those of models that take rows unpadded.
PADDED_ROLES = (
    InputRole.TOKEN_IDS,
    InputRole.ATTENTION_MASK,
    InputRole.TOKEN_TYPE_IDS,
    InputRole.POSITION_IDS,
    InputRole.ADAPTER,
)


@given(st.lists(st.lists(st.integers(1, 99), min_size=1, max_size=9), min_size=1, max_size=6), st.booleans())
def test_padding_adds_the_pad_id_on_one_side_only(rows: Rows, left: bool) -> None:
    ids, mask = pad([np.array(row, dtype=np.int64) for row in rows], pad_id=77, left=left)
    longest = max(map(len, rows))

    def filled(row: list[int], number: int) -> list[int]:
        more = [number] * (longest - len(row))
        return more + row if left else row + more

    assert ids.tolist() == [filled(row, 77) for row in rows]
    assert mask.tolist() == [filled([1] * len(row), 0) for row in rows]
    assert (ids.dtype, mask.dtype) == (np.int64, np.int64)


@pytest.mark.parametrize("data_type", INPUT_TYPES)
def test_every_role_gets_its_tensor_under_the_inputs_name(data_type: str) -> None:
    inputs = [
        GraphInput(TensorSpec(f"the {role.value}", data_type, (1,) if role is InputRole.ADAPTER else (-1, -1)), role)
        for role in PADDED_ROLES
    ]
    ids, mask = np.array([[5, 6], [7, 0]]), np.array([[1, 1], [1, 0]])
    given = input_tensors(inputs, ids, mask, adapter=3)
    assert {name: tensor.tolist() for name, tensor in given.items()} == {
        "the token_ids": [[5, 6], [7, 0]],
        "the attention_mask": [[1, 1], [1, 0]],
        "the token_type_ids": [[0, 0], [0, 0]],
        "the position_ids": [[0, 1], [0, 1]],
        "the adapter": [3],
    }
    assert {tensor.dtype.name for tensor in given.values()} == {INPUT_TYPES[data_type]}


@pytest.mark.parametrize("adapter", [None, -1])
def test_a_graph_with_adapters_gets_one_or_nothing_is_called(adapter: int | None) -> None:
    """A graph takes -1 for its last adapter and says nothing."""
    inputs = [GraphInput(TensorSpec("task_id", "TYPE_INT64", (1,)), InputRole.ADAPTER)]
    with pytest.raises(ValueError, match="needs the number of an adapter"):
        input_tensors(inputs, np.array([[5]]), np.array([[1]]), adapter=adapter)


@pytest.mark.parametrize("role", sorted(set(InputRole) - set(PADDED_ROLES), key=lambda role: role.value))
def test_inputs_of_unpadded_rows_are_never_filled_with_padded_ones(role: InputRole) -> None:
    inputs = [GraphInput(TensorSpec("one of those", "TYPE_INT32", (-1,)), role)]
    with pytest.raises(ValueError, match=f"role {role.value} is none of a model whose rows are padded"):
        input_tensors(inputs, np.array([[5]]), np.array([[1]]), adapter=None)
