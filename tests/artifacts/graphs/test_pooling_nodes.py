"""Pooling inside a graph against pooling in NumPy: every pooling, every opset's way of writing it, any padding."""

from __future__ import annotations

from functools import cache

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from gateway.artifacts.graphs.pooling_nodes import POOLINGS, Additions, Wanted
from gateway.vectors import pooling
from tests.support.graphs import value

SIZE = 5
# The oldest, the ones at which an operator's axes became an input, and a recent one.
OPSETS = (11, 12, 13, 17, 18, 21)


@cache
def session(name: str, opset: int, mask_type: int = TensorProto.INT64) -> onnxruntime.InferenceSession:
    added = Additions(opset=opset, prefix="p_")
    POOLINGS[name](added, Wanted(hidden="hidden", mask="mask", size=SIZE, output="pooled"))
    inputs = [value("hidden", ["b", "s", SIZE]), value("mask", ["b", "s"], mask_type)]
    body = helper.make_graph(added.nodes, "g", inputs, [value("pooled", ["b", SIZE])], added.initializers)
    model = helper.make_model(body, opset_imports=[helper.make_opsetid("", opset)], ir_version=7)
    onnx.checker.check_model(model, full_check=True)
    return onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])


def pooled(name: str, opset: int, hidden: np.ndarray, mask: np.ndarray) -> np.ndarray:
    return session(name, opset).run(None, {"hidden": hidden, "mask": mask})[0]


def test_what_a_graph_can_be_given_the_gateway_can_do_too() -> None:
    assert set(POOLINGS) <= set(pooling.POOLINGS)
    assert {"mean", "cls", "last_token"} <= set(POOLINGS)


@pytest.mark.parametrize("opset", OPSETS)
@pytest.mark.parametrize("name", sorted(POOLINGS))
@given(st.integers(0, 2**32 - 1), st.integers(1, 4), st.integers(1, 9))
@settings(max_examples=8, deadline=None)
def test_a_graph_pools_as_numpy_does(name: str, opset: int, seed: int, rows: int, longest: int) -> None:
    """Masks of any shape, with at least one token a row: padding on the right, on the left, and holes."""
    random = np.random.default_rng(seed)
    hidden = random.normal(size=(rows, longest, SIZE)).astype(np.float32)
    mask = random.integers(0, 2, size=(rows, longest))
    mask[np.arange(rows), random.integers(0, longest, rows)] = 1
    expected = pooling.POOLINGS[name](hidden, mask)
    assert np.abs(pooled(name, opset, hidden, mask) - expected).max() < 1e-5
    # Whatever stands in the padding does not count.
    hidden[mask == 0] = random.choice([np.nan, np.inf, -np.inf, 3e38])
    assert np.abs(pooled(name, opset, hidden, mask) - expected).max() < 1e-5


@pytest.mark.parametrize("name", sorted(POOLINGS))
@pytest.mark.parametrize("mask_type", [TensorProto.INT64, TensorProto.INT32, TensorProto.BOOL, TensorProto.FLOAT])
def test_a_mask_may_be_of_any_type(name: str, mask_type: int) -> None:
    hidden = np.random.default_rng(3).normal(size=(2, 4, SIZE)).astype(np.float32)
    mask = np.array([[1, 1, 0, 0], [0, 1, 1, 1]])
    given_mask = mask.astype(helper.tensor_dtype_to_np_dtype(mask_type))
    (out,) = session(name, 17, mask_type).run(None, {"hidden": hidden, "mask": given_mask})
    assert np.abs(out - pooling.POOLINGS[name](hidden, mask)).max() < 1e-5


def test_the_mean_of_a_long_text_is_exact_enough() -> None:
    hidden = np.random.default_rng(1).normal(1.0, 3.0, size=(1, 8192, SIZE)).astype(np.float32)
    mask = np.ones((1, 8192), np.int64)
    assert np.abs(pooled("mean", 17, hidden, mask) - hidden.mean(axis=1, dtype=np.float64)).max() < 1e-5


def test_the_last_token_is_the_last_one_of_8192() -> None:
    hidden = np.random.default_rng(2).normal(size=(2, 8192, SIZE)).astype(np.float32)
    mask = np.ones((2, 8192), np.int64)
    mask[0, 8000:] = 0
    assert np.array_equal(pooled("last_token", 17, hidden, mask), np.stack([hidden[0, 7999], hidden[1, 8191]]))
