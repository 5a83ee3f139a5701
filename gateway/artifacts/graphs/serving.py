"""The graph that Triton loads, made around a published one: outputs under fixed names, in float32, and a pooled one.

Callers mostly want one vector a text, and token vectors of a long text are tens of megabytes, so pooling belongs beside
the model. The published file stays as it is and keeps the weights: the graph made here points into it, or into its data
file.

A card's `[graph.config]` says which output of the published graph holds what:

- `token_embeddings`: a vector for each token, [batch, tokens, size]. The pooled output is made from it by
  `vectors.pooling`, through the attention mask, and not brought to unit length.
- `sentence_embedding`: a vector for each text, [batch, size], for a graph that pools itself. It is taken as it is.
- `logit`: a reranker's score before the sigmoid, [batch, 1].

The outputs made are those of the card's `[triton]` section, by their roles; all others are left out, with the nodes
that only they needed.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from onnx import GraphProto, ModelProto, TensorProto, ValueInfoProto, helper

from gateway.artifacts.graphs.pooling_nodes import OLDEST_OPSET, POOLINGS, Additions, Pool, Wanted
from gateway.artifacts.graphs.published_graph import read_published
from gateway.artifacts.graphs.recipe import SERVING
from gateway.artifacts.graphs.renaming import drop_unused, names_in, rename
from gateway.cards.schema import Card, GraphSpec
from gateway.cards.triton_spec import OUTPUT_RANKS, GraphOutput, InputRole, OutputRole
from gateway.errors import ArtifactError, ConfigurationError

BUILDER = SERVING

# Weights in a form that cannot be pointed at are copied; protobuf itself ends at twice this.
MAX_GRAPH_BYTES = 1 << 30

_FLOATS = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.DOUBLE)


@dataclass(frozen=True, slots=True)
class _Source:
    """An output of the published graph; `data_type` is ONNX's number."""

    name: str
    data_type: int


def build_serving(card: Card, published: Path) -> bytes:
    """The serving graph around the published graph, which has to lie in the folder where the result will lie.

    The same bytes for the same files. Raises `ConfigurationError` where the card does not fit the graph,
    `ArtifactError` where the file is no graph that can be served.
    """
    model = read_published(published)
    try:
        _rebuild(card, model)
    except ConfigurationError as error:
        raise ConfigurationError(f"{published.name} of {card.name}: {error.message}", remedy=error.remedy) from None
    size = model.ByteSize()
    if size > MAX_GRAPH_BYTES:
        raise ArtifactError(
            f"{published.name} of {card.name} keeps {size >> 20} MiB of weights in a form that cannot be pointed at."
        )
    return bytes(model.SerializeToString(deterministic=True))


def published_names(spec: GraphSpec) -> dict[OutputRole, str]:
    """The published graph's outputs by what they hold. Raises `ConfigurationError` for a line that makes no sense."""
    roles = {role.value: role for role in OutputRole}
    for key, name in spec.config.items():
        if key not in roles or not isinstance(name, str):
            known = ", ".join(sorted(roles))
            raise ConfigurationError(f"graph.config.{key} is not known: it names outputs as {known}.")
    return {roles[key]: str(name) for key, name in spec.config.items()}


def _rebuild(card: Card, model: ModelProto) -> None:
    graph = model.graph
    names = published_names(card.graph) if card.graph is not None else {}
    for role, name in names.items():
        _check_output(card, role, _value(graph, name))
    free = _make_room(graph, [output.tensor.name for output in card.triton.outputs])
    types = {value.name: value.type.tensor_type.elem_type for value in graph.output}
    sources = {role: _Source(free.get(name, name), types[free.get(name, name)]) for role, name in names.items()}
    drop_unused(graph, [source.name for source in sources.values()])
    added = Additions(opset=_opset(model), prefix=_free_prefix(graph))
    # The pooled output is made from the token vectors, so those come first.
    for output in sorted(card.triton.outputs, key=lambda one: one.role is not OutputRole.TOKEN_EMBEDDINGS):
        _add_output(added, card, output, sources)
    graph.node.extend(added.nodes)
    graph.initializer.extend(added.initializers)
    outputs = _described(graph, card)
    del graph.output[:]
    graph.output.extend(outputs)


def _add_output(added: Additions, card: Card, output: GraphOutput, sources: dict[OutputRole, _Source]) -> None:
    source, tokens = sources.get(output.role), sources.get(OutputRole.TOKEN_EMBEDDINGS)
    name = output.tensor.name
    if source is not None:
        _as_float32(added, source, output=name)
    elif output.role is OutputRole.SENTENCE_EMBEDDING and tokens is not None:
        own = card.triton.output(OutputRole.TOKEN_EMBEDDINGS)
        hidden = own.tensor.name if own is not None else _as_float32(added, tokens)
        size = card.embedding.dimensions
        _pool(card)(added, Wanted(hidden=hidden, mask=_mask(card), size=size, output=name))
    else:
        raise ConfigurationError(f"graph.config does not say which output of it holds what {name} is made from.")


def _as_float32(added: Additions, source: _Source, output: str | None = None) -> str:
    if source.data_type == TensorProto.FLOAT:
        return added.node("Identity", source.name, output=output)
    return added.as_float32(source.name, output)


def _pool(card: Card) -> Pool:
    pool = POOLINGS.get(card.embedding.pooling)
    if pool is None:
        raise ConfigurationError(
            f"it cannot be given a pooled output by {card.embedding.pooling}; that is done for {', '.join(POOLINGS)}.",
            remedy="Leave the output of role sentence_embedding out of card.toml: the gateway pools by itself then.",
        )
    return pool


def _mask(card: Card) -> str:
    masks = [item.tensor.name for item in card.triton.inputs if item.role is InputRole.ATTENTION_MASK]
    if not masks:
        raise ConfigurationError("without an attention mask among its inputs its token vectors cannot be pooled.")
    return masks[0]


def _value(graph: GraphProto, name: str) -> ValueInfoProto:
    found: ValueInfoProto | None = next((value for value in graph.output if value.name == name), None)
    if found is None:
        known = ", ".join(value.name for value in graph.output)
        raise ConfigurationError(f"it has no output {name}; it has {known}.", remedy="Mend graph.config in card.toml.")
    return found


def _check_output(card: Card, role: OutputRole, value: ValueInfoProto) -> None:
    """Rank and size, as far as the graph states them, and a number type that can be made float32."""
    tensor = value.type.tensor_type
    if tensor.elem_type not in _FLOATS:
        kind = TensorProto.DataType.Name(tensor.elem_type)
        raise ConfigurationError(f"its output {value.name} is of type {kind}, which is no vector.")
    if not tensor.HasField("shape"):
        return
    sizes = [size.dim_value if size.HasField("dim_value") else None for size in tensor.shape.dim]
    wanted = 1 if role is OutputRole.LOGIT else card.embedding.dimensions
    if len(sizes) != OUTPUT_RANKS[role] or sizes[-1] not in (None, wanted):
        shape = [size or "?" for size in sizes]
        raise ConfigurationError(
            f"its output {value.name} has the shape {shape}; {role.value} has {OUTPUT_RANKS[role]} dimensions, "
            f"the last of size {wanted}.",
            remedy="Mend graph.config or vectors.dimensions in card.toml.",
        )


def _make_room(graph: GraphProto, wanted: list[str]) -> dict[str, str]:
    """Free the names `wanted` where the published graph uses them itself; returns its values' new names."""
    inputs = {value.name for value in graph.input}
    taken = names_in(graph)
    if inputs.intersection(wanted):
        raise ConfigurationError(f"its input {min(inputs.intersection(wanted))} has the name of one of our outputs.")
    renamed: dict[str, str] = {}
    for name in taken.intersection(wanted):
        new = f"published_{name}"
        while new in taken:
            new = f"published_{new}"
        renamed[name] = new
    if renamed:
        rename(graph, renamed)
    return renamed


def _free_prefix(graph: GraphProto) -> str:
    prefix = "serving_"
    while any(name.startswith(prefix) for name in names_in(graph)):
        prefix = f"_{prefix}"
    return prefix


def _opset(model: ModelProto) -> int:
    version = next((one.version for one in model.opset_import if one.domain in ("", "ai.onnx")), 0)
    if version < OLDEST_OPSET:
        raise ConfigurationError(
            f"it is written for ONNX opset {version}; {OLDEST_OPSET} is the oldest that is served here."
        )
    return int(version)


def _described(graph: GraphProto, card: Card) -> list[ValueInfoProto]:
    """The outputs as the card states them, with the graph's own words for the sizes that vary."""
    ids = next((item.tensor.name for item in card.triton.inputs if item.role is InputRole.TOKEN_IDS), "")
    shapes = [value.type.tensor_type.shape for value in graph.input if value.name == ids]
    words = [size.dim_param for shape in shapes for size in shape.dim]
    words = [*(words if len(words) == 2 and all(words) else ("batch", "sequence")), "size"]
    return [
        helper.make_tensor_value_info(
            output.tensor.name,
            TensorProto.FLOAT,
            [words[place] if size == -1 else size for place, size in enumerate(output.tensor.dims)],
        )
        for output in card.triton.outputs
    ]
