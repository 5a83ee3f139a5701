"""The generic twins in further forms in which repositories are published, each still with its NumPy oracle."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tests.support.twins import generic
from tests.support.twins.generic_bert import HIDDEN
from tests.support.twins.tokenizer_files import json_file
from tests.support.twins.twin import Twin
from tests.support.twins.wiring import single_file, with_external_data

GRAPH = "onnx/model.onnx"
DENSE = 5
# The words of sentence-transformers 6 for its poolings.
MODES = ("cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken")
Pool = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True, slots=True, eq=False)
class Published:
    """A repository, and how one row's float64 token vectors [tokens, size] become a vector of any length.

    `prefix` is what goes before a text that no task is named for. `tolerance` is that of values of unit vectors.
    """

    twin: Twin
    pool: Pool
    prefix: str = ""
    tolerance: float = 1e-5

    @property
    def repository(self) -> str:
        return self.twin.repository

    @property
    def name(self) -> str:
        return self.repository.partition("/")[2]

    def vector(self, text: str) -> np.ndarray:
        """float64 [size] of unit length."""
        pooled = self.pool(self.twin.hidden_states(self.twin.ids(text)))
        return pooled / np.linalg.norm(pooled)


def mean(hidden: np.ndarray) -> np.ndarray:
    return hidden.mean(axis=0)


def first(hidden: np.ndarray) -> np.ndarray:
    return hidden[0]


def last(hidden: np.ndarray) -> np.ndarray:
    return hidden[-1]


def ramp(hidden: np.ndarray) -> np.ndarray:
    return np.arange(1, len(hidden) + 1) @ hidden


@cache
def faithful() -> tuple[Published, ...]:
    """The twins of `generic.FAITHFUL` as they are."""
    poolings = {"mean": mean, "cls": first, "lasttoken": last}
    twins = [make() for make in generic.FAITHFUL]
    prefixes = {generic.prompted().repository: generic.PROMPTS["document"]}
    return tuple(Published(twin, poolings[twin.pooling], prefixes.get(twin.repository, "")) for twin in twins)


@cache
def others() -> tuple[Published, ...]:
    return (
        Published(pooled_only(), mean),
        Published(_without("acme/no-stages", generic.mean(), "modules.json"), mean),
        Published(_pooled("acme/max-pooled", "max"), lambda hidden: hidden.max(axis=0)),
        Published(_pooled("acme/weighted", "weightedmean"), ramp),
        Published(_pooled("acme/sqrt-len", "mean_sqrt_len_tokens"), mean),
        Published(_without("acme/weights-alone", generic.token_types(), GRAPH), mean),
        Published(_pooled("acme/weights-cls", "cls", _without("x/x", generic.token_types(), GRAPH)), first),
        Published(external_data(), mean),
        Published(dense_inside(), lambda hidden: np.tanh(hidden.mean(axis=0) @ dense_weights())),
        Published(_edited("acme/positions", generic.mean(), _with_position_ids), mean),
        Published(_edited("acme/int32", generic.mean(), _with_32_bit_inputs), mean),
        Published(_edited("acme/half-out", generic.mean(), _with_half_outputs), mean, tolerance=2e-3),
        Published(_pooled("acme/both-outputs", "cls", generic.pooled_output()), first),
    )


def from_weights() -> tuple[Twin, ...]:
    """Repositories that sentence-transformers itself can load: plain BERT as safetensors, without a graph. One for each
    pooling, one without stages, one with prompts, and one for each way to state a window."""
    base = _without("acme/weights-alone", generic.token_types(), GRAPH)
    settings = json.loads(base.files["tokenizer_config.json"])
    prompts = {"prompts": generic.PROMPTS, "default_prompt_name": "query"}
    files: dict[str, dict[str, bytes | None]] = {
        "no-stages": {"modules.json": None, generic.POOLING: None},
        "prompts": {"config_sentence_transformers.json": json_file(prompts)},
        "window-of-stage": {"sentence_bert_config.json": json_file({"max_seq_length": 9, "do_lower_case": False})},
        "window-of-tokenizer": {"tokenizer_config.json": json_file({**settings, "model_max_length": 11})},
        "lower-cased": {"sentence_bert_config.json": json_file({"do_lower_case": True})},
    }
    poolings = [_pooled(f"acme/{mode.replace('_', '-')}", mode, base) for mode in MODES]
    return (*poolings, *(changed(base, f"acme/{name}", own) for name, own in files.items()))


@cache
def pooled_only() -> Twin:
    """The graph gives finished vectors and nothing else."""
    return _edited("acme/pooled-only", generic.pooled_output(), lambda graph: _drop_output(graph, "token_embeddings"))


@cache
def external_data() -> Twin:
    base = generic.mean()
    graph, data = with_external_data(onnx.ModelProto.FromString(base.files[GRAPH]), "model.onnx_data")
    return changed(base, "acme/external-data", {GRAPH: graph, "onnx/model.onnx_data": data})


def dense_weights() -> np.ndarray:
    """float32 [HIDDEN, DENSE]"""
    return np.random.default_rng(5).normal(size=(HIDDEN, DENSE)).astype(np.float32)


@cache
def dense_inside() -> Twin:
    """A Dense stage that the graph contains, between its mean and `sentence_embedding`."""
    base = generic.pooled_output()
    twin = _edited("acme/dense-inside", base, _with_dense)
    own = "sentence_transformers.models"
    stages = [
        {"path": "", "type": f"{own}.Transformer"},
        {"path": "1_Pooling", "type": f"{own}.Pooling"},
        {"path": "2_Dense", "type": f"{own}.Dense"},
    ]
    config = {"in_features": HIDDEN, "out_features": DENSE, "bias": False}
    return changed(twin, twin.repository, {"modules.json": json_file(stages), "2_Dense/config.json": json_file(config)})


def changed(base: Twin, repository: str, files: Mapping[str, bytes | None]) -> Twin:
    """The twin under another name with other files; None takes one away."""
    kept = {path: data for path, data in {**base.files, **files}.items() if data is not None}
    return replace(base, repository=repository, files=kept)


def _without(repository: str, base: Twin, *paths: str) -> Twin:
    return changed(base, repository, dict.fromkeys(paths))


def _pooled(repository: str, mode: str, base: Twin | None = None) -> Twin:
    config = {"embedding_dimension": HIDDEN, "pooling_mode": mode, "include_prompt": True}
    return changed(base or generic.mean(), repository, {generic.POOLING: json_file(config)})


def _edited(repository: str, base: Twin, edit: Callable[[onnx.GraphProto], None]) -> Twin:
    model = onnx.ModelProto.FromString(base.files[GRAPH])
    edit(model.graph)
    onnx.checker.check_model(model)
    return changed(base, repository, {GRAPH: single_file(model)})


def _drop_output(graph: onnx.GraphProto, name: str) -> None:
    kept = [output for output in graph.output if output.name != name]
    del graph.output[:]
    graph.output.extend(kept)


def _with_dense(graph: onnx.GraphProto) -> None:
    for node in graph.node:
        node.output[:] = ["mean" if name == "sentence_embedding" else name for name in node.output]
    graph.initializer.append(numpy_helper.from_array(dense_weights(), "dense"))
    graph.node.append(helper.make_node("MatMul", ["mean", "dense"], ["mapped"]))
    graph.node.append(helper.make_node("Tanh", ["mapped"], ["sentence_embedding"]))
    (sentence,) = [output for output in graph.output if output.name == "sentence_embedding"]
    sentence.type.tensor_type.shape.dim[1].dim_value = DENSE


def _with_position_ids(graph: onnx.GraphProto) -> None:
    """Positions are an input instead of being counted in the graph."""
    for node in graph.node:
        if "embeddings.position_embeddings.weight" in node.input:
            node.input[1] = "position_ids"
    shape = ["batch_size", "sequence_length"]
    graph.input.append(helper.make_tensor_value_info("position_ids", TensorProto.INT64, shape))


def _with_32_bit_inputs(graph: onnx.GraphProto) -> None:
    names = [value.name for value in graph.input]
    for node in graph.node:
        node.input[:] = [f"{name}_wide" if name in names else name for name in node.input]
    for place, value in enumerate(graph.input):
        value.type.tensor_type.elem_type = TensorProto.INT32
        cast = helper.make_node("Cast", [value.name], [f"{value.name}_wide"], to=TensorProto.INT64)
        graph.node.insert(place, cast)


def _with_half_outputs(graph: onnx.GraphProto) -> None:
    (output,) = graph.output
    for node in graph.node:
        node.output[:] = [f"{name}_single" if name == output.name else name for name in node.output]
    graph.node.append(helper.make_node("Cast", [f"{output.name}_single"], [output.name], to=TensorProto.FLOAT16))
    output.type.tensor_type.elem_type = TensorProto.FLOAT16
