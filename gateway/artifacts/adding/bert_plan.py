"""Serving plain BERT from safetensors weights alone: the graph is built here, see `gateway.artifacts.graphs.bert`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from gateway.artifacts.adding.model_config import ModelConfig
from gateway.artifacts.adding.outputs import GraphFacts, choose_source
from gateway.artifacts.adding.plan import BUILT_FILE, GraphPlan
from gateway.artifacts.adding.published import Fact, Published, joined
from gateway.artifacts.adding.refusal import CannotServe
from gateway.artifacts.adding.signature import GraphTensor, Signature, graph_inputs
from gateway.artifacts.adding.stages import Stages
from gateway.artifacts.graphs.bert import BertShape
from gateway.artifacts.graphs.building import build_graph
from gateway.cards.schema import VERSION_FOLDER, GraphSpec
from gateway.cards.triton_spec import GraphOutput, OutputRole, TensorSpec
from gateway.errors import ArtifactError, ConfigurationError

BUILDER = "bert"
WEIGHTS_FILE = "model.safetensors"
TOKEN_NAME = "last_hidden_state"
POOLED_NAME = "sentence_embedding"

# What transformers' BertConfig assumes where a config.json leaves it out.
_DEFAULTS: Mapping[str, object] = {
    "hidden_act": "gelu",
    "hidden_size": 768,
    "intermediate_size": 3072,
    "layer_norm_eps": 1e-12,
    "max_position_embeddings": 512,
    "num_attention_heads": 12,
    "num_hidden_layers": 12,
    "position_embedding_type": "absolute",
    "type_vocab_size": 2,
    "vocab_size": 30522,
}
# A decoder reads texts in another way, under the same name.
_DECODER_FLAGS = ("is_decoder", "add_cross_attention")


def find_weights(published: Published, folder: str, config: ModelConfig) -> str | None:
    """The path of weights that a graph can be built around; None where there are none."""
    path = joined(folder, WEIGHTS_FILE)
    is_encoder = config.model_type == "bert" and not any(config.document.get(flag) for flag in _DECODER_FLAGS)
    # Code of the repository's own means an architecture of its own, whatever it is called.
    return path if is_encoder and "auto_map" not in config.document and published.has(path) else None


def plan_bert(path: str, file: Path, *, stages: Stages | None, config: ModelConfig, pooling: str | None) -> GraphPlan:
    """The plan for the weights at `path`, downloaded to `file`; `pooling` is the operator's word. Raises
    `CannotServe`."""
    lines = {key: config.document.get(key, default) for key, default in _DEFAULTS.items()}
    spec = GraphSpec(BUILDER, f"{VERSION_FOLDER}/{WEIGHTS_FILE}", lines)
    _check_buildable(spec, file, path)
    size = BertShape.from_config(lines).hidden_size
    signature = Signature(
        inputs=tuple(
            GraphTensor(name, "TYPE_INT64", (-1, -1)) for name in ("input_ids", "attention_mask", "token_type_ids")
        ),
        outputs=(GraphTensor(TOKEN_NAME, "TYPE_FP32", (-1, -1, size)),),
    )
    facts = GraphFacts(signature, lambda _stage, _tokens, _sentence: False)
    source = choose_source(facts, stages=stages, config=config, asked=pooling)
    outputs = [GraphOutput(TensorSpec(TOKEN_NAME, "TYPE_FP32", (-1, -1, size)), OutputRole.TOKEN_EMBEDDINGS)]
    if source.pooling.value == "mean":
        pooled = TensorSpec(POOLED_NAME, "TYPE_FP32", (-1, size))
        outputs.insert(0, GraphOutput(pooled, OutputRole.SENTENCE_EMBEDDING))
    return GraphPlan(
        file=Fact(path, "no ONNX file, but the weights of a plain BERT, for which the graph is built here"),
        published={WEIGHTS_FILE: path},
        builder=BUILDER,
        built=BUILT_FILE,
        config=lines,
        inputs=graph_inputs(signature, config),
        outputs=tuple(outputs),
        source=source,
        weights=spec.weights,
    )


def _check_buildable(spec: GraphSpec, file: Path, path: str) -> None:
    try:
        build_graph(spec, file)
    except (ArtifactError, ConfigurationError) as error:
        raise CannotServe(
            f"It publishes no ONNX file, and no graph can be built around {path}: {error.message}",
            remedy="Export it with `optimum-cli export onnx`, publish that as a repository of your own and add it.",
        ) from error
