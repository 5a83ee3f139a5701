"""Transformer layers as standard ONNX operators, for batches padded to the longest row."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from tests.support.twins.wiring import Wiring

Weights = Mapping[str, np.ndarray]

# Added to the scores of masked keys: as low as float16 can hold, so that fp16 variants mask as fully as fp32 ones.
MASKED = -65504.0
INT8_LIMIT = 127


def linear(w: Wiring, x: str, weights: Weights, name: str) -> str:
    """x [..., in] to [..., out] with a weight [out, in]; the bias is optional."""
    matrix = weights[f"{name}.weight"].T
    y = _int8_product(w, x, matrix, name) if w.int8 else w.op("MatMul", x, w.weight(f"{name}.weight_t", matrix))
    bias = weights.get(f"{name}.bias")
    return y if bias is None else w.op("Add", y, w.weight(f"{name}.bias", bias))


def _int8_product(w: Wiring, x: str, matrix: np.ndarray, name: str) -> str:
    """Dynamic int8: one scale for the whole activation tensor, and so for all rows of the batch together."""
    scale = np.float32(np.abs(matrix).max() / INT8_LIMIT)
    codes = np.clip(np.round(matrix / scale), -INT8_LIMIT, INT8_LIMIT).astype(np.int8)
    quantized, x_scale, x_zero = w.ops("DynamicQuantizeLinear", x, outputs=3)
    product = w.op("MatMulInteger", quantized, w.constant(f"{name}.weight_quantized", codes), x_zero)
    scales = w.op("Mul", x_scale, w.constant(f"{name}.weight_scale", np.array(scale)))
    return w.op("Mul", w.cast(product, np.float32), scales)


def layer_norm(w: Wiring, x: str, weights: Weights, name: str, epsilon: float) -> str:
    scale = w.weight(f"{name}.weight", weights[f"{name}.weight"])
    bias = w.weight(f"{name}.bias", weights[f"{name}.bias"])
    return w.op("LayerNormalization", x, scale, bias, axis=-1, epsilon=epsilon)


def rms_norm(w: Wiring, x: str, weights: Weights, name: str, epsilon: float) -> str:
    """Over the last axis, in float32 whatever the graph's dtype."""
    single = np.dtype(np.float32)
    x = w.cast(x, single) if w.dtype != single else x
    mean = w.op("ReduceMean", w.op("Mul", x, x), axes=[-1], keepdims=1)
    scaled = w.op("Div", x, w.op("Sqrt", w.op("Add", mean, w.number(epsilon, single))))
    scaled = w.cast(scaled, w.dtype) if w.dtype != single else scaled
    return w.op("Mul", scaled, w.weight(f"{name}.weight", weights[f"{name}.weight"]))


def gelu(w: Wiring, x: str) -> str:
    half = w.op("Mul", x, w.number(0.5))
    return w.op("Mul", half, w.op("Add", w.op("Erf", w.op("Div", x, w.number(math.sqrt(2.0)))), w.number(1.0)))


def silu(w: Wiring, x: str) -> str:
    return w.op("Mul", x, w.op("Sigmoid", x))


def token_count(w: Wiring) -> str:
    """int64 of rank 0: the padded length of the batch."""
    return w.op("Gather", w.op("Shape", "input_ids"), w.integer(1))


def places(w: Wiring) -> str:
    """int64 [sequence]: 0, 1, 2, ..."""
    return w.op("Range", w.integer(0), token_count(w), w.integer(1))


def padding_bias(w: Wiring) -> str:
    """[batch, 1, 1, sequence]: nothing for kept keys, `MASKED` for the others."""
    mask = w.op("Unsqueeze", w.cast("attention_mask", w.dtype), w.ints(1, 2))
    return w.op("Mul", w.op("Sub", w.number(1.0), mask), w.number(MASKED))


def causal_bias(w: Wiring) -> str:
    """[batch, 1, sequence, sequence]: `MASKED` for keys that are masked or later than the query."""
    place = places(w)
    later = w.op("Less", w.op("Unsqueeze", place, w.ints(1)), w.op("Unsqueeze", place, w.ints(0)))
    bias = w.op("Where", later, w.number(MASKED), w.number(0.0))
    return w.op("Min", padding_bias(w), bias)


def alibi_bias(w: Wiring, slopes: np.ndarray) -> str:
    """[batch, heads, sequence, sequence]: less slope * distance, symmetric, and `MASKED` added for masked keys."""
    place = w.cast(places(w), w.dtype)
    apart = w.op("Abs", w.op("Sub", w.op("Unsqueeze", place, w.ints(1)), w.op("Unsqueeze", place, w.ints(0))))
    bias = w.op("Mul", apart, w.weight("alibi_slopes", -slopes[:, None, None]))
    return w.op("Add", padding_bias(w), bias)


def rotary_tables(w: Wiring, size: int, theta: float) -> tuple[str, str]:
    """Cosines and sines [sequence, size], computed in float32, for `rotate`."""
    frequencies = (1.0 / theta ** (np.arange(0, size, 2) / size)).astype(np.float32)
    place = w.op("Unsqueeze", w.cast(places(w), np.float32), w.ints(1))
    angles = w.op("Mul", place, w.constant("inv_freq", frequencies))
    both = w.op("Concat", angles, angles, axis=-1)
    return w.cast(w.op("Cos", both), w.dtype), w.cast(w.op("Sin", both), w.dtype)


def rotate(w: Wiring, x: str, tables: tuple[str, str]) -> str:
    """x [batch, heads, sequence, size] turned by its positions."""
    left, right = w.ops("Split", x, outputs=2, axis=-1)
    turned = w.op("Concat", w.op("Neg", right), left, axis=-1)
    return w.op("Add", w.op("Mul", x, tables[0]), w.op("Mul", turned, tables[1]))


def split_heads(w: Wiring, x: str, size: int) -> str:
    """[batch, sequence, heads * size] to [batch, heads, sequence, size]."""
    return w.op("Transpose", w.op("Reshape", x, w.ints(0, 0, -1, size)), perm=[0, 2, 1, 3])


def repeat_heads(w: Wiring, x: str, times: int) -> str:
    """[batch, groups, sequence, size] to [batch, groups * times, sequence, size], each group `times` in a row."""
    wide = w.op("Concat", *[w.op("Unsqueeze", x, w.ints(2))] * times, axis=2)
    shape = w.op("Shape", x)
    parts = [w.op("Slice", shape, w.ints(0), w.ints(1)), w.ints(-1), w.op("Slice", shape, w.ints(2), w.ints(4))]
    return w.op("Reshape", wide, w.op("Concat", *parts, axis=0))


def attend(w: Wiring, query: str, key: str, value: str, *, bias: str, size: int) -> str:
    """[batch, sequence, heads * size] from [batch, heads, sequence, size] each; `bias` is added to the scores."""
    scaled = w.op("Mul", query, w.number(1.0 / math.sqrt(size)))
    scores = w.op("MatMul", scaled, w.op("Transpose", key, perm=[0, 1, 3, 2]))
    shares = w.op("Softmax", w.op("Add", scores, bias), axis=-1)
    mixed = w.op("Transpose", w.op("MatMul", shares, value), perm=[0, 2, 1, 3])
    return w.op("Reshape", mixed, w.ints(0, 0, -1))
