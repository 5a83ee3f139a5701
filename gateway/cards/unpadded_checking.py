"""What a card owes where the model takes its rows unpadded, and where Triton runs code instead of a graph."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath

from gateway.cards.schema import Card
from gateway.cards.section import Section
from gateway.cards.triton_spec import InputRole, OutputRole

INDEX_SUFFIX = ".safetensors.index.json"
# Data only. Files of other kinds may hold code, which would be run when they are read.
DATA_SUFFIXES = (".json", ".txt", ".jinja", ".safetensors")

# Type, full shape, and whether a call may leave it out.
_INPUTS: Mapping[InputRole, tuple[str, tuple[int, ...], bool]] = {
    InputRole.TOKEN_IDS: ("TYPE_INT32", (-1,), False),
    InputRole.ROW_LENGTHS: ("TYPE_INT32", (-1,), False),
    InputRole.ROW_ADAPTERS: ("TYPE_INT32", (-1,), False),
    InputRole.PIXELS: ("TYPE_UINT8", (-1,), True),
    InputRole.IMAGE_SIZES: ("TYPE_INT32", (-1, 2), True),
    InputRole.SPANS: ("TYPE_INT32", (-1, 2), True),
    InputRole.SPAN_COUNTS: ("TYPE_INT32", (-1,), True),
}
_OUTPUTS: Mapping[OutputRole, str] = {
    OutputRole.SENTENCE_EMBEDDING: "TYPE_FP32",
    OutputRole.SPAN_SUMS: "TYPE_FP32",
    OutputRole.TOKEN_VECTORS: "TYPE_FP32",
    OutputRole.ROW_STATUS: "TYPE_INT32",
}
_ONLY_UNPADDED = set(_INPUTS) - {InputRole.TOKEN_IDS}
_OUTPUTS_ONLY_UNPADDED = set(_OUTPUTS) - {OutputRole.SENTENCE_EMBEDDING}


def check_rows(card: Card, root: Section) -> None:
    """Whether inputs and outputs are those of padded rows, or those of unpadded ones. Raises `ConfigurationError`
    naming the key to mend, as all of this module do."""
    if card.triton.takes_rows_unpadded:
        _check_inputs(card, root)
        _check_outputs(card, root)
    else:
        _check_padded(card, root)
    _check_images(card, root)
    _check_token_vectors(card, root)


def check_code(card: Card, root: Section) -> None:
    """What belongs to a model of the Python backend."""
    for file in card.files:
        if file.lists_shards and not _is_index(file.path, file.hub_path):
            root.fault("files.path", f"a path that ends in {INDEX_SUFFIX}, in hub_path too, where it lists shards")
    if card.triton.has_graph:
        return
    if card.graph is not None or any(file.built_by for file in card.files):
        root.fault("graph", "left out: Triton's Python backend reads the weights as they are")
    if any(PurePosixPath(file.path).suffix not in DATA_SUFFIXES for file in card.files):
        root.fault("files.path", "a list of " + ", ".join(DATA_SUFFIXES) + " files: no others are fetched for it")
    if card.triton.instance_count != 1:
        root.fault("triton.instance_count", "1: each instance would hold the weights once more")


def _is_index(path: str, hub_path: str | None) -> bool:
    return path.endswith(INDEX_SUFFIX) and (hub_path or "").endswith(INDEX_SUFFIX)


def _check_inputs(card: Card, root: Section) -> None:
    for one in card.triton.inputs:
        tensor, known = one.tensor, _INPUTS.get(one.role)
        if known is None:
            root.fault("triton.inputs", f"a list without {one.role.value}, since it has row_lengths")
        if (tensor.data_type, tensor.dims, tensor.optional) != known:
            data_type, dims, optional = known
            wanted = f"{data_type}, dims = {list(dims)}" + (", optional = true" if optional else ", not optional")
            root.fault("triton.inputs", f"a list whose input of role {one.role.value} has {wanted}")
    if (card.triton.input(InputRole.SPANS) is None) != (card.triton.input(InputRole.SPAN_COUNTS) is None):
        root.fault("triton.inputs", "a list with both of spans and span_counts, or neither")


def _check_outputs(card: Card, root: Section) -> None:
    for one in card.triton.outputs:
        known = _OUTPUTS.get(one.role)
        if one.tensor.data_type != known:
            wanted = "left out" if known is None else known
            root.fault("triton.outputs", f"a list in which {one.role.value} is {wanted}, since rows come unpadded")
    for role in (OutputRole.SENTENCE_EMBEDDING, OutputRole.ROW_STATUS):
        if card.triton.output(role) is None:
            root.fault("triton.outputs", f"a list with an output of role {role.value}, since rows come unpadded")
    if (card.triton.output(OutputRole.SPAN_SUMS) is None) != (card.triton.input(InputRole.SPANS) is None):
        root.fault("triton.outputs", "a list with an output of role span_sums where there are spans, and only there")


def _check_padded(card: Card, root: Section) -> None:
    for given in card.triton.inputs:
        if given.role in _ONLY_UNPADDED:
            root.fault("triton.inputs", f"a list with row_lengths where it has {given.role.value}")
        if given.tensor.optional:
            root.fault("triton.inputs", f"a list whose {given.role.value} is not optional: each call has it")
    for made in card.triton.outputs:
        if made.role in _OUTPUTS_ONLY_UNPADDED:
            root.fault("triton.inputs", f"a list with row_lengths where there is an output {made.role.value}")


def _check_images(card: Card, root: Section) -> None:
    roles = {one.role for one in card.triton.inputs} & {InputRole.PIXELS, InputRole.IMAGE_SIZES}
    if len(roles) != (2 if card.images is not None else 0):
        root.fault("triton.inputs", "a list with pixels and image_sizes where the card has images, and only there")
    if card.images is None:
        return
    unit_area = card.images.unit_pixels**2
    if not card.images.min_pixels <= card.images.max_pixels:
        root.fault("images.max_pixels", f"at least images.min_pixels, {card.images.min_pixels}")
    if card.images.max_pixels < unit_area:
        root.fault("images.max_pixels", f"at least {unit_area}, the area of one token")


def _check_token_vectors(card: Card, root: Section) -> None:
    size = card.vectors.token_dimensions if card.vectors is not None else None
    if (size is None) != (card.triton.output(OutputRole.TOKEN_VECTORS) is None):
        root.fault("vectors.token_dimensions", "given where an output has the role token_vectors, and only there")
