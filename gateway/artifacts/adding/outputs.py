"""Which graph output the vectors are made from, and how. Chosen by what the repository states and by names, never by a
shape alone: BERT's `pooler_output` and jina-embeddings-v3's `13049` look like sentence vectors and are not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from gateway.artifacts.adding.model_config import ModelConfig
from gateway.artifacts.adding.pooling_stage import PoolingStage
from gateway.artifacts.adding.published import Fact
from gateway.artifacts.adding.refusal import CannotServe
from gateway.artifacts.adding.signature import GraphTensor, Signature
from gateway.artifacts.adding.stages import MODULES_FILE, DenseStage, Stages
from gateway.cards.schema import IN_GRAPH

# Names under which exporters put out one vector a token.
TOKEN_NAMES = ("last_hidden_state", "token_embeddings", "text_embeds", "output_0")
SENTENCE_NAME = "sentence_embedding"
# Of the shape [texts, tokens, numbers] too, but numbers for something else.
_NO_TOKEN_VECTORS = ("logits",)


@dataclass(frozen=True, slots=True)
class VectorSource:
    """`output` is the graph's, `pooling` ours for it or `IN_GRAPH`, `dimensions` those of a vector."""

    output: GraphTensor
    pooling: Fact[str]
    dimensions: Fact[int]


@dataclass(frozen=True, slots=True)
class GraphFacts:
    """What is known of a graph. `contains` says whether it is certain that a Dense stage is in the graph, between a
    token output (None where it has none) and a pooled one, both by name."""

    signature: Signature
    contains: Callable[[DenseStage, str | None, str], bool]

    @property
    def sentence(self) -> GraphTensor | None:
        """The output with finished vectors."""
        output = self.signature.output(SENTENCE_NAME)
        return output if output is not None and output.is_float and output.has_rank(2) else None

    def tokens(self, hidden_size: int | None) -> GraphTensor | None:
        """The output with a vector a token: by its name, else the only one whose vectors have the model's size."""
        fitting = [output for output in self.signature.outputs if output.is_float and output.has_rank(3)]
        for name in TOKEN_NAMES:
            for output in fitting:
                if output.name == name:
                    return output
        others = [
            output
            for output in fitting
            if output.name not in _NO_TOKEN_VECTORS and hidden_size is not None and output.last_size == hidden_size
        ]
        return others[0] if len(others) == 1 else None

    @property
    def listed(self) -> str:
        outputs = self.signature.outputs
        return ", ".join(
            f"{output.name} {list(output.dims or ())}" if output.dims else output.name for output in outputs
        )


def choose_source(graph: GraphFacts, *, stages: Stages | None, config: ModelConfig, asked: str | None) -> VectorSource:
    """`asked` is the operator's word for the pooling, which outranks the repository's; a Dense stage outranks both.

    Raises `CannotServe` where no output holds the vectors that the repository describes.
    """
    pooling = stages.pooling if stages is not None else None
    if asked is None and pooling is not None and not pooling.value.include_prompt:
        raise _leaves_prompts_out(pooling)
    if stages is not None and stages.dense:
        return _behind_dense(graph, stages.dense, config)
    tokens = graph.tokens(config.hidden_size)
    if asked is not None:
        if tokens is None:
            raise CannotServe(
                f"--pooling {asked} needs an output with a vector for each token. The graph's are {graph.listed}.",
                remedy="Leave --pooling away." if graph.sentence is not None else _NO_VECTORS,
            )
        return VectorSource(tokens, Fact(asked, "--pooling"), _token_size(tokens, config, pooling))
    if pooling is not None and tokens is not None and len(pooling.value.modes) == 1:
        mode = Fact(pooling.value.modes[0], pooling.source)
        return VectorSource(tokens, mode, _token_size(tokens, config, pooling))
    if graph.sentence is not None:
        return _finished(graph.sentence, pooling, config)
    if tokens is None:
        raise CannotServe(f"No output of the graph holds the vectors: {graph.listed}.", remedy=_NO_VECTORS)
    if stages is not None:
        raise _not_pooled_here(pooling)
    return VectorSource(tokens, _assumed(config), _token_size(tokens, config, None))


def _behind_dense(graph: GraphFacts, stages: tuple[DenseStage, ...], config: ModelConfig) -> VectorSource:
    """The graph's own finished vector, where it is certain that the Dense stages are in the graph."""
    tokens, sentence, last = graph.tokens(config.hidden_size), graph.sentence, stages[-1]
    source = f"{last.folder}/config.json"
    if sentence is None or not all(
        graph.contains(stage, tokens.name if tokens else None, sentence.name) for stage in stages
    ):
        raise CannotServe(
            f"The vectors pass a Dense stage ({last.folder}) after the pooling, and the graph does not contain it.",
            remedy="Export the model with all its stages, into an output named sentence_embedding.",
        )
    _check_size(sentence, last.out_features, source)
    return VectorSource(sentence, _in_graph(sentence), Fact(last.out_features, source))


def _finished(sentence: GraphTensor, stated: Fact[PoolingStage] | None, config: ModelConfig) -> VectorSource:
    whole = (stated.value.dimensions or 0) * len(stated.value.modes) if stated is not None else 0
    if stated is not None and whole:
        _check_size(sentence, whole, stated.source)
    size = _first_known(
        (sentence.last_size, f"the graph's output {sentence.name}"),
        (whole or None, stated.source if stated else ""),
        (config.hidden_size, config.path),
    )
    return VectorSource(sentence, _in_graph(sentence), size)


def _token_size(tokens: GraphTensor, config: ModelConfig, stated: Fact[PoolingStage] | None) -> Fact[int]:
    """The size of a token's vector. The graph's word has to agree with the Pooling stage's."""
    expected = stated.value.dimensions if stated is not None else None
    if stated is not None and expected is not None:
        _check_size(tokens, expected, stated.source)
    return _first_known(
        (tokens.last_size, f"the graph's output {tokens.name}"),
        (expected, stated.source if stated else ""),
        (config.hidden_size, config.path),
    )


def _first_known(*sources: tuple[int | None, str]) -> Fact[int]:
    for size, source in sources:
        if size is not None:
            return Fact(size, source)
    raise CannotServe(
        "Neither the graph nor the repository's configuration says how many numbers a vector has.",
        remedy="Export the model with a fixed size for the last axis of its output.",
    )


def _check_size(output: GraphTensor, expected: int, source: str) -> None:
    if output.last_size not in (None, expected):
        raise CannotServe(
            f"The graph's output {output.name} has vectors of {output.last_size} numbers, {source} says {expected}: "
            "the graph is not of this model, or lacks a part of it.",
            remedy="Name another file with --file, or tell the repository's authors.",
        )


def _in_graph(sentence: GraphTensor) -> Fact[str]:
    return Fact(IN_GRAPH, f"the graph's own output {sentence.name}")


def _assumed(config: ModelConfig) -> Fact[str]:
    if config.is_causal:
        return Fact("last_token", f"assumed: no {MODULES_FILE}, and {config.path} names a causal model")
    return Fact("mean", f"assumed: no {MODULES_FILE}")


def _not_pooled_here(stated: Fact[PoolingStage] | None) -> CannotServe:
    if stated is None:
        what = f"{MODULES_FILE} has no Pooling stage, and the graph has no output {SENTENCE_NAME}"
    else:
        what = f"{stated.source} joins several poolings into one vector ({' and '.join(stated.value.modes)})"
    return CannotServe(
        f"It cannot be said here how token vectors become one: {what}.",
        remedy=f"Export the model with its pooling, into an output named {SENTENCE_NAME}.",
    )


def _leaves_prompts_out(stated: Fact[PoolingStage]) -> CannotServe:
    return CannotServe(
        f"{stated.source} leaves the tokens of the prompt out of the pooling (include_prompt is false), which is not "
        "done here: with a prompt the vectors would be others than the authors'.",
        remedy="Serve it with sentence-transformers. If no text will ever have a prompt, add it with --pooling "
        f"{stated.value.modes[0]}, which pools all tokens.",
    )


_NO_VECTORS = (
    "A vector for each token (last_hidden_state, token_embeddings) or a finished one (sentence_embedding) is needed; "
    "a pooler_output is another thing. Export the model for feature extraction."
)
