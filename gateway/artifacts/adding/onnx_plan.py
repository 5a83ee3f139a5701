"""Serving a published ONNX graph: its inputs by role, its outputs by what the repository says of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from onnx import ModelProto

from gateway.artifacts.adding.graph_paths import maps_between
from gateway.artifacts.adding.model_config import ModelConfig
from gateway.artifacts.adding.onnx_files import OnnxChoice
from gateway.artifacts.adding.outputs import GraphFacts, VectorSource, choose_source
from gateway.artifacts.adding.plan import SERVING_FILE, TOKENIZER_FILE, GraphPlan
from gateway.artifacts.adding.published import Published
from gateway.artifacts.adding.published_data import data_locations
from gateway.artifacts.adding.refusal import TELL_AUTHORS, CannotServe
from gateway.artifacts.adding.signature import graph_inputs, signature_of
from gateway.artifacts.adding.stages import Stages
from gateway.artifacts.graphs.pooling_nodes import POOLINGS as POOLED_IN_GRAPH
from gateway.artifacts.graphs.published_graph import read_published
from gateway.artifacts.graphs.recipe import SERVING
from gateway.cards.installation import LOCK_FILE
from gateway.cards.schema import IN_GRAPH, VERSION_FOLDER
from gateway.cards.triton_spec import GraphOutput, OutputRole, TensorSpec
from gateway.errors import ArtifactError

POOLED_NAME = "pooled_embedding"
TOKEN_NAME = "token_embeddings"
_OWN_FILES = (SERVING_FILE, TOKENIZER_FILE, PurePosixPath(LOCK_FILE).name)


def plan_onnx(
    published: Published,
    choice: OnnxChoice,
    file: Path,
    *,
    stages: Stages | None,
    config: ModelConfig,
    pooling: str | None,
) -> GraphPlan:
    """The plan for the chosen ONNX file, downloaded to `file`; `pooling` is the operator's word.

    Raises `CannotServe`.
    """
    model = _read(file, choice.path.value)
    signature = signature_of(model)
    inputs = graph_inputs(signature, config)
    files = _files(choice.path.value, data_locations(model, choice.path.value, published))
    facts = GraphFacts(
        signature,
        lambda stage, tokens, sentence: maps_between(
            model, tokens=tokens, sentence=sentence, sizes=(stage.in_features, stage.out_features)
        ),
    )
    source = choose_source(facts, stages=stages, config=config, asked=pooling)
    role = OutputRole.SENTENCE_EMBEDDING if source.pooling.value == IN_GRAPH else OutputRole.TOKEN_EMBEDDINGS
    return GraphPlan(
        file=choice.path,
        published=files,
        builder=SERVING,
        built=SERVING_FILE,
        config={role.value: source.output.name},
        inputs=inputs,
        outputs=_outputs(source),
        source=source,
        variant=choice.variant,
    )


def _read(file: Path, path: str) -> ModelProto:
    try:
        return read_published(file)
    except ArtifactError as error:
        raise CannotServe(
            f"{path} is not an ONNX graph that can be read.", remedy=f"Name another file with --file. {TELL_AUTHORS}"
        ) from error


def _outputs(source: VectorSource) -> tuple[GraphOutput, ...]:
    """A pooled output wherever the graph can be given one: token vectors of a long text are tens of megabytes."""
    size, pooling = source.dimensions.value, source.pooling.value
    outputs = []
    if pooling == IN_GRAPH or pooling in POOLED_IN_GRAPH:
        pooled = TensorSpec(POOLED_NAME, "TYPE_FP32", (-1, size))
        outputs.append(GraphOutput(pooled, OutputRole.SENTENCE_EMBEDDING))
    if pooling != IN_GRAPH:
        tokens = TensorSpec(TOKEN_NAME, "TYPE_FP32", (-1, -1, size))
        outputs.append(GraphOutput(tokens, OutputRole.TOKEN_EMBEDDINGS))
    return tuple(outputs)


def _files(path: str, locations: tuple[str, ...]) -> Mapping[str, str]:
    """The graph and its data under the names that they know one another by."""
    folder = PurePosixPath(path).parent
    files = {PurePosixPath(path).name: path, **{name: (folder / name).as_posix() for name in locations}}
    clash = next((name for name in files if name in _OWN_FILES), None)
    if clash is not None:
        raise CannotServe(
            f"The repository's {files[clash]} has the name of a file that is put into {VERSION_FOLDER}/ here.",
            remedy="Publish it under another name.",
        )
    return files
