"""The BERT inside the generic twins: its ONNX graph in several signatures, over `numpy_bert` as oracle."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import onnx
from onnx import TensorProto

from tests.support import numpy_bert, tiny_bert
from tests.support.twins import onnx_layers as ol
from tests.support.twins.tokenizer_files import bert
from tests.support.twins.twin import Weights
from tests.support.twins.wiring import Wiring, ids_value, value

HIDDEN, HEADS = 24, 4
SIZE = HIDDEN // HEADS
MAX_TOKENS = 64
EPSILON = 1e-12


@dataclass(frozen=True, slots=True)
class Signature:
    """`inputs` in their order; without `token_type_ids` the types are zeros. `outputs`: the hidden states' name, and
    that of their mean, which is not of unit length, where the graph is to give it. `pixels`: `pixel_values` as well."""

    inputs: tuple[str, ...] = ("input_ids", "attention_mask")
    outputs: tuple[str, ...] = ("last_hidden_state",)
    pixels: bool = False


def config() -> dict[str, object]:
    """`config.json`."""
    return tiny_bert.tiny_config(
        architectures=["BertModel"],
        hidden_size=HIDDEN,
        intermediate_size=32,
        layer_norm_eps=EPSILON,
        max_position_embeddings=MAX_TOKENS,
        model_type="bert",
        num_attention_heads=HEADS,
        pad_token_id=0,
        vocab_size=bert().get_vocab_size(),
    )


def weights(seed: int) -> Weights:
    return tiny_bert.random_weights(config(), seed)


def oracle(weights: Weights) -> Callable[[np.ndarray], np.ndarray]:
    """float64 [tokens, hidden] for the ids of one row."""
    return partial(_row, config(), weights)


def _row(config: dict[str, object], weights: Weights, ids: np.ndarray) -> np.ndarray:
    return numpy_bert.hidden_states(config, weights, ids[None], np.ones((1, len(ids)), np.int64))[0]


def graph(weights: Weights, signature: Signature) -> onnx.ModelProto:
    w = Wiring()
    x = _encoded(w, weights, token_types="token_type_ids" in signature.inputs)
    if signature.pixels:
        x = w.op("Add", x, w.op("ReduceMean", "pixel_values", keepdims=0))
    w.op("Identity", x, to=signature.outputs[0])
    if len(signature.outputs) > 1:
        _mean(w, x, signature.outputs[1])
    inputs = [ids_value(name) for name in signature.inputs]
    if signature.pixels:
        inputs.append(value("pixel_values", ["batch_size", 3, "height", "width"], TensorProto.FLOAT))
    shapes: list[list[int | str]] = [["batch_size", "sequence_length", HIDDEN], ["batch_size", HIDDEN]]
    return w.model(inputs, [value(name, shape) for name, shape in zip(signature.outputs, shapes, strict=False)])


def _encoded(w: Wiring, weights: Weights, *, token_types: bool) -> str:
    tables = {name: w.weight(name, array) for name, array in weights.items() if "_embeddings." in name}
    types = tables["embeddings.token_type_embeddings.weight"]
    types = w.op("Gather", types, "token_type_ids" if token_types else w.ints(0))
    x = w.op("Gather", tables["embeddings.word_embeddings.weight"], "input_ids")
    x = w.op("Add", x, w.op("Gather", tables["embeddings.position_embeddings.weight"], ol.places(w)))
    x = ol.layer_norm(w, w.op("Add", x, types), weights, "embeddings.LayerNorm", EPSILON)
    bias = ol.padding_bias(w)
    layers = {name.split(".")[2] for name in weights if name.startswith("encoder.layer.")}
    for name in (f"encoder.layer.{layer}" for layer in sorted(layers)):
        parts = (ol.linear(w, x, weights, f"{name}.attention.self.{part}") for part in ("query", "key", "value"))
        mixed = ol.attend(w, *(ol.split_heads(w, part, SIZE) for part in parts), bias=bias, size=SIZE)
        mixed = ol.linear(w, mixed, weights, f"{name}.attention.output.dense")
        x = ol.layer_norm(w, w.op("Add", x, mixed), weights, f"{name}.attention.output.LayerNorm", EPSILON)
        inner = ol.gelu(w, ol.linear(w, x, weights, f"{name}.intermediate.dense"))
        inner = ol.linear(w, inner, weights, f"{name}.output.dense")
        x = ol.layer_norm(w, w.op("Add", x, inner), weights, f"{name}.output.LayerNorm", EPSILON)
    return x


def _mean(w: Wiring, x: str, name: str) -> None:
    mask = w.op("Unsqueeze", w.cast("attention_mask", np.float32), w.ints(2))
    total = w.op("ReduceSum", w.op("Mul", x, mask), w.ints(1), keepdims=0)
    w.op("Div", total, w.op("ReduceSum", mask, w.ints(1), keepdims=0), to=name)
