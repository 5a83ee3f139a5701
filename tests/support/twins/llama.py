"""What EuroBERT and Qwen3 share: RMS norms before each half of a layer, rotary positions, gated SiLU, no biases."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx

from tests.support.twins import numpy_layers as npl
from tests.support.twins import onnx_layers as ol
from tests.support.twins.twin import Weights
from tests.support.twins.wiring import KINDS, Wiring, ids_value, value

# Keeps the in-graph normalisation from dividing by zero, as exporters write it.
SMALLEST_NORM = 1e-6


@dataclass(frozen=True, slots=True)
class LlamaShape:
    """`groups` key and value heads serve `heads` query heads of `size`; `head_norms`: RMS norms on queries and keys."""

    hidden: int
    inner: int
    layers: int
    heads: int
    groups: int
    size: int
    theta: float
    epsilon: float
    causal: bool
    head_norms: bool


def random_weights(shape: LlamaShape, vocabulary: int, *, seed: int, task_seed: int) -> Weights:
    """float32 by the checkpoints' names. Linear layers differ between tasks, as adapters leave them when merged."""
    base, task = np.random.default_rng(seed), np.random.default_rng([seed, task_seed])
    w: Weights = {"embed_tokens.weight": base.normal(0.0, 1.0, (vocabulary, shape.hidden)).astype(np.float32)}

    def dense(name: str, inputs: int, outputs: int, *, scale: float = 1.0) -> None:
        parts = base.normal(size=(outputs, inputs)) + 0.5 * task.normal(size=(outputs, inputs))
        w[f"{name}.weight"] = (scale * inputs**-0.5 * parts).astype(np.float32)

    def norm(name: str, size: int) -> None:
        w[f"{name}.weight"] = (1.0 + base.normal(0.0, 0.3, size)).astype(np.float32)

    for layer in range(shape.layers):
        name = f"layers.{layer}"
        norm(f"{name}.input_layernorm", shape.hidden)
        dense(f"{name}.self_attn.q_proj", shape.hidden, shape.heads * shape.size, scale=1.5)
        dense(f"{name}.self_attn.k_proj", shape.hidden, shape.groups * shape.size, scale=1.5)
        dense(f"{name}.self_attn.v_proj", shape.hidden, shape.groups * shape.size)
        dense(f"{name}.self_attn.o_proj", shape.heads * shape.size, shape.hidden)
        if shape.head_norms:
            norm(f"{name}.self_attn.q_norm", shape.size)
            norm(f"{name}.self_attn.k_norm", shape.size)
        norm(f"{name}.post_attention_layernorm", shape.hidden)
        dense(f"{name}.mlp.gate_proj", shape.hidden, shape.inner)
        dense(f"{name}.mlp.up_proj", shape.hidden, shape.inner)
        dense(f"{name}.mlp.down_proj", shape.inner, shape.hidden)
    norm("norm", shape.hidden)
    return w


def forward(shape: LlamaShape, weights: Weights, ids: np.ndarray) -> np.ndarray:
    """float64 [tokens, hidden] for one row."""
    w = npl.double(weights)
    x = w["embed_tokens.weight"][ids]
    for layer in range(shape.layers):
        name = f"layers.{layer}"
        normed = npl.rms_norm(x, w, f"{name}.input_layernorm", shape.epsilon)
        x = x + npl.linear(_mixed(shape, w, normed, f"{name}.self_attn"), w, f"{name}.self_attn.o_proj")
        normed = npl.rms_norm(x, w, f"{name}.post_attention_layernorm", shape.epsilon)
        gate = npl.silu(npl.linear(normed, w, f"{name}.mlp.gate_proj"))
        x = x + npl.linear(gate * npl.linear(normed, w, f"{name}.mlp.up_proj"), w, f"{name}.mlp.down_proj")
    return npl.rms_norm(x, w, "norm", shape.epsilon)


def _mixed(shape: LlamaShape, w: Weights, x: np.ndarray, name: str) -> np.ndarray:
    query, key, value_ = (npl.linear(x, w, f"{name}.{part}_proj").reshape(len(x), -1, shape.size) for part in "qkv")
    if shape.head_norms:
        query = npl.rms_norm(query, w, f"{name}.q_norm", shape.epsilon)
        key = npl.rms_norm(key, w, f"{name}.k_norm", shape.epsilon)
    query, key = npl.rotate(query, shape.theta), npl.rotate(key, shape.theta)
    return npl.attend(query, key, value_, causal=shape.causal)


def graph(shape: LlamaShape, weights: Weights, w: Wiring) -> onnx.ModelProto:
    """Outputs `last_hidden_state` and `sentence_embedding` in `w`'s dtype; the second is right for right padding only.

    It holds, at unit length, the state at the place `attention_mask.sum() - 1`.
    """
    x = w.op("Gather", w.weight("embed_tokens.weight", weights["embed_tokens.weight"]), "input_ids")
    tables = ol.rotary_tables(w, shape.size, shape.theta)
    bias = ol.causal_bias(w) if shape.causal else ol.padding_bias(w)
    for layer in range(shape.layers):
        name = f"layers.{layer}"
        normed = ol.rms_norm(w, x, weights, f"{name}.input_layernorm", shape.epsilon)
        mixed = _graph_mixed(shape, weights, w, normed, f"{name}.self_attn", tables, bias)
        x = w.op("Add", x, ol.linear(w, mixed, weights, f"{name}.self_attn.o_proj"))
        normed = ol.rms_norm(w, x, weights, f"{name}.post_attention_layernorm", shape.epsilon)
        gate = ol.silu(w, ol.linear(w, normed, weights, f"{name}.mlp.gate_proj"))
        inner = w.op("Mul", gate, ol.linear(w, normed, weights, f"{name}.mlp.up_proj"))
        x = w.op("Add", x, ol.linear(w, inner, weights, f"{name}.mlp.down_proj"))
    x = ol.rms_norm(w, x, weights, "norm", shape.epsilon)
    w.op("Identity", x, to="last_hidden_state")
    _last_token(w, x)
    kind = KINDS[w.dtype]
    outputs = [
        value("last_hidden_state", ["batch_size", "sequence_length", shape.hidden], kind),
        value("sentence_embedding", ["batch_size", shape.hidden], kind),
    ]
    return w.model([ids_value("input_ids"), ids_value("attention_mask")], outputs)


def _graph_mixed(
    shape: LlamaShape, weights: Weights, w: Wiring, x: str, name: str, tables: tuple[str, str], bias: str
) -> str:
    parts = {}
    for part in "qkv":
        flat = ol.linear(w, x, weights, f"{name}.{part}_proj")
        heads = w.op("Reshape", flat, w.ints(0, 0, -1, shape.size))
        if shape.head_norms and part != "v":
            heads = ol.rms_norm(w, heads, weights, f"{name}.{part}_norm", shape.epsilon)
        heads = w.op("Transpose", heads, perm=[0, 2, 1, 3])
        heads = heads if part == "v" else ol.rotate(w, heads, tables)
        share = 1 if part == "q" else shape.heads // shape.groups
        parts[part] = heads if share == 1 else ol.repeat_heads(w, heads, share)
    return ol.attend(w, parts["q"], parts["k"], parts["v"], bias=bias, size=shape.size)


def _last_token(w: Wiring, x: str) -> None:
    count = w.op("ReduceSum", "attention_mask", w.ints(1), keepdims=1)
    last = w.op("GatherND", x, w.op("Sub", count, w.integer(1)), batch_dims=1)
    norm = w.op("Max", w.op("ReduceL2", last, axes=[-1], keepdims=1), w.number(SMALLEST_NORM))
    w.op("Div", last, norm, to="sentence_embedding")
