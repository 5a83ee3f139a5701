"""A BERT encoder with masked mean pooling as an ONNX graph of about 30 KB over the weights in a safetensors file.

Inputs `input_ids`, `attention_mask`, `token_type_ids`: int64 [batch, sequence]. Outputs `last_hidden_state`: float32
[batch, sequence, hidden], and `sentence_embedding`: float32 [batch, hidden], the mean over unmasked tokens at unit
length. Formulas: Devlin et al. 2018 (arXiv:1810.04805), post-layer-norm, exact (erf) GELU.

The operators are standard ones except self-attention, which is ONNX Runtime's own `com.microsoft.Attention`: every
build of ONNX Runtime carries it, and its fusion does not recognise the pattern in standard operators. Measured
2026-11-21, ONNX Runtime 1.31.1, 2 threads on 2 shared vCPUs of an AMD EPYC (Zen 5), median over 72 interleaved runs:
1.07 times the speed of the same layers in standard operators at 32 x 16 tokens, 1.01 at 4 x 128, 1.02 at 2 x 256, 1.12
at 1 x 16.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import TensorProto, helper

from gateway.artifacts.graphs.assembly import CONTRIB_DOMAIN, GraphAssembly
from gateway.artifacts.safetensors_header import StoredTensor
from gateway.errors import ConfigurationError

# Keeps a row that is masked throughout from dividing by zero; the value sentence-transformers uses.
SMALLEST_TOKEN_COUNT = 1e-9
SMALLEST_NORM = 1e-12


@dataclass(frozen=True, slots=True)
class BertShape:
    """The numbers of a BERT `config.json` that the graph depends on."""

    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int
    intermediate_size: int
    vocab_size: int
    max_position_embeddings: int
    type_vocab_size: int
    layer_norm_eps: float

    @classmethod
    def from_config(cls, config: Mapping[str, object]) -> BertShape:
        """Read the fields of a `config.json`. Raises `ConfigurationError` for one this graph cannot honour."""
        for key, supported in (("hidden_act", "gelu"), ("position_embedding_type", "absolute")):
            if config.get(key, supported) != supported:
                raise ConfigurationError(
                    f"graph.config.{key} is {config[key]!r}; this builder knows {supported!r} only."
                )
        epsilon = config.get("layer_norm_eps")
        if not isinstance(epsilon, float):
            raise ConfigurationError("graph.config.layer_norm_eps has to be a number such as 1e-12.")
        counts = {key: _count(config, key) for key in cls.__slots__ if key != "layer_norm_eps"}
        shape = cls(**counts, layer_norm_eps=epsilon)
        if shape.hidden_size % shape.num_attention_heads:
            raise ConfigurationError("graph.config.hidden_size has to be a multiple of num_attention_heads.")
        return shape


def _count(config: Mapping[str, object], key: str) -> int:
    value = config.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ConfigurationError(f"graph.config.{key} has to be a whole number above zero.")
    return value


def build_bert(
    tensors: Mapping[str, StoredTensor], config: Mapping[str, object], *, weights_location: str
) -> onnx.ModelProto:
    """The graph for the weights described by `tensors`, which lie in `weights_location` beside the graph.

    Raises `ConfigurationError` for a config it cannot honour, `ArtifactError` when the weights do not fit it.
    """
    return _BertGraph(BertShape.from_config(config), tensors, weights_location).build()


class _BertGraph:
    def __init__(self, shape: BertShape, tensors: Mapping[str, StoredTensor], weights_location: str) -> None:
        self.shape = shape
        self.graph = GraphAssembly(tensors, weights_location=weights_location)

    def build(self) -> onnx.ModelProto:
        hidden = self._embeddings()
        mask = self.graph.node("Cast", "attention_mask", to=TensorProto.INT32)
        for layer in range(self.shape.num_hidden_layers):
            hidden = self._layer(hidden, mask, f"encoder.layer.{layer}")
        self.graph.node("Identity", hidden, output="last_hidden_state")
        self._sentence_embedding(hidden)
        rows = ["batch", "sequence"]
        names = ("input_ids", "attention_mask", "token_type_ids")
        size = self.shape.hidden_size
        return self.graph.model(
            "bert",
            inputs=[helper.make_tensor_value_info(name, TensorProto.INT64, rows) for name in names],
            outputs=[
                helper.make_tensor_value_info("last_hidden_state", TensorProto.FLOAT, [*rows, size]),
                helper.make_tensor_value_info("sentence_embedding", TensorProto.FLOAT, ["batch", size]),
            ],
        )

    def _embeddings(self) -> str:
        graph, shape = self.graph, self.shape
        positions = graph.weight(
            "embeddings.position_embeddings.weight", (shape.max_position_embeddings, shape.hidden_size)
        )
        length = graph.node("Gather", graph.node("Shape", "input_ids"), graph.constant([1], np.int64))
        first = graph.constant([0], np.int64)
        words = self._lookup("embeddings.word_embeddings.weight", shape.vocab_size, "input_ids")
        types = self._lookup("embeddings.token_type_embeddings.weight", shape.type_vocab_size, "token_type_ids")
        summed = graph.node(
            "Add", graph.node("Add", words, types), graph.node("Slice", positions, first, length, first)
        )
        return self._layer_norm(summed, "embeddings.LayerNorm")

    def _lookup(self, name: str, rows: int, ids: str) -> str:
        return self.graph.node("Gather", self.graph.weight(name, (rows, self.shape.hidden_size)), ids)

    def _layer(self, hidden: str, mask: str, prefix: str) -> str:
        graph, size, inner = self.graph, self.shape.hidden_size, self.shape.intermediate_size
        attended = self._linear(self._attention(hidden, mask, prefix), f"{prefix}.attention.output.dense", size, size)
        hidden = self._layer_norm(graph.node("Add", attended, hidden), f"{prefix}.attention.output.LayerNorm")
        widened = self._gelu(self._linear(hidden, f"{prefix}.intermediate.dense", size, inner))
        narrowed = self._linear(widened, f"{prefix}.output.dense", inner, size)
        return self._layer_norm(graph.node("Add", narrowed, hidden), f"{prefix}.output.LayerNorm")

    def _attention(self, hidden: str, mask: str, prefix: str) -> str:
        """Softmax(Q K^T / sqrt(head size) + mask) V; masked keys get -10000, exactly 0 after a float32 softmax.

        The concatenations and transpositions hold constants only: ONNX Runtime folds them when it loads the graph.
        """
        graph, size = self.graph, self.shape.hidden_size
        parts = [f"{prefix}.attention.self.{part}" for part in ("query", "key", "value")]
        weights = [self._transposed(f"{part}.weight", size, size) for part in parts]
        biases = [graph.weight(f"{part}.bias", (size,)) for part in parts]
        return graph.node(
            "Attention",
            hidden,
            graph.node("Concat", *weights, axis=1),
            graph.node("Concat", *biases, axis=0),
            mask,
            domain=CONTRIB_DOMAIN,
            num_heads=self.shape.num_attention_heads,
        )

    def _transposed(self, name: str, inputs: int, outputs: int) -> str:
        """A torch Linear weight, stored [outputs, inputs], as MatMul wants it."""
        return self.graph.node("Transpose", self.graph.weight(name, (outputs, inputs)), perm=[1, 0])

    def _linear(self, rows: str, prefix: str, inputs: int, outputs: int) -> str:
        product = self.graph.node("MatMul", rows, self._transposed(f"{prefix}.weight", inputs, outputs))
        return self.graph.node("Add", product, self.graph.weight(f"{prefix}.bias", (outputs,)))

    def _layer_norm(self, rows: str, prefix: str) -> str:
        size = (self.shape.hidden_size,)
        scale, bias = self.graph.weight(f"{prefix}.weight", size), self.graph.weight(f"{prefix}.bias", size)
        return self.graph.node("LayerNormalization", rows, scale, bias, axis=-1, epsilon=self.shape.layer_norm_eps)

    def _gelu(self, rows: str) -> str:
        """x (1 + erf(x / sqrt 2)) / 2, in the order in which ONNX Runtime recognises and fuses it with the bias."""
        graph = self.graph
        error = graph.node("Erf", graph.node("Div", rows, graph.constant(math.sqrt(2.0), np.float32)))
        doubled = graph.node("Mul", rows, graph.node("Add", error, graph.constant(1.0, np.float32)))
        return graph.node("Mul", doubled, graph.constant(0.5, np.float32))

    def _sentence_embedding(self, hidden: str) -> None:
        graph, rows_axis, last_axis = self.graph, [1], [2]
        weights = graph.node("Unsqueeze", "attention_mask", graph.constant(rows_axis, np.int64))
        weights = graph.node("Cast", weights, to=TensorProto.FLOAT)
        summed = graph.node("Squeeze", graph.node("MatMul", weights, hidden), graph.constant(rows_axis, np.int64))
        count = graph.node("ReduceSum", weights, graph.constant(last_axis, np.int64), keepdims=0)
        mean = graph.node("Div", summed, graph.node("Max", count, graph.constant(SMALLEST_TOKEN_COUNT, np.float32)))
        squares = graph.node("ReduceSum", graph.node("Mul", mean, mean), graph.constant(rows_axis, np.int64))
        norm = graph.node("Max", graph.node("Sqrt", squares), graph.constant(SMALLEST_NORM, np.float32))
        graph.node("Div", mean, norm, output="sentence_embedding")
