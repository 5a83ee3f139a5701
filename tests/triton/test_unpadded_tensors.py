from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gateway.cards.triton_spec import GraphInput, InputRole, TensorSpec
from gateway.triton.unpadded_tensors import unpadded_tensors
from gateway.types import TokenRow
from tests.support.unpadded_engine import unpadded_card

PIXELS = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)


def row(*ids: int, adapter: int = 0, spans: list[list[int]] | None = None, pixels: object = None) -> TokenRow:
    given = None if spans is None else np.array(spans, dtype=np.int64).reshape(-1, 2)
    return TokenRow(np.array(ids, np.int64), adapter=adapter, spans=given, pixels=pixels)  # type: ignore[arg-type]


def test_rows_lie_one_after_the_other(tmp_path: Path) -> None:
    rows = [
        row(5, 6, 7, adapter=2, spans=[[0, 2], [2, 3]], pixels=PIXELS),
        row(8, spans=[]),
        row(9, 1, adapter=1, pixels=PIXELS[:1, ::2]),
    ]
    tensors = unpadded_tensors(unpadded_card(tmp_path).triton.inputs, rows)
    given = {name: (tensor.dtype.name, tensor.tolist()) for name, tensor in tensors.items()}
    assert given == {
        "token_ids": ("int32", [5, 6, 7, 8, 9, 1]),
        "row_lengths": ("int32", [3, 1, 2]),
        "row_adapters": ("int32", [2, 0, 1]),
        "pixels": ("uint8", [*range(24), 0, 1, 2, 6, 7, 8]),
        "image_sizes": ("int32", [[2, 4], [0, 0], [1, 2]]),
        "spans": ("int32", [[0, 2], [2, 3]]),
        "span_counts": ("int32", [2, 0, 0]),
    }


def test_inputs_that_are_not_optional_are_there_though_they_say_nothing(tmp_path: Path) -> None:
    inputs = [
        GraphInput(TensorSpec(given.tensor.name, given.tensor.data_type, given.tensor.dims), given.role)
        for given in unpadded_card(tmp_path).triton.inputs
    ]
    tensors = unpadded_tensors(inputs, [row(5, 6)])
    shapes = {name: tensor.shape for name, tensor in tensors.items()}
    assert shapes["pixels"] == (0,)
    assert shapes["spans"] == (0, 2)
    assert tensors["image_sizes"].tolist() == [[0, 0]]
    assert tensors["span_counts"].tolist() == [0]


@pytest.mark.parametrize("adapter", [None, -1])
def test_a_row_without_an_adapter_is_never_given_the_last_one(tmp_path: Path, adapter: int | None) -> None:
    rows = [row(5), TokenRow(np.array([6]), adapter=adapter)]
    with pytest.raises(ValueError, match="a row has none"):
        unpadded_tensors(unpadded_card(tmp_path).triton.inputs, rows)


def test_an_input_of_a_padded_model_is_a_mistake() -> None:
    mask = GraphInput(TensorSpec("mask", "TYPE_INT64", (-1, -1)), InputRole.ATTENTION_MASK)
    with pytest.raises(ValueError, match="attention_mask"):
        unpadded_tensors([mask], [row(5)])
