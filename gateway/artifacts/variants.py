"""Which files make up one precision of a model: those that the card lists, or those at the usual place on the hub.

Exporters publish a model in several precisions side by side, as `onnx/model.onnx`, `onnx/model_fp16.onnx`,
`onnx/model_int8.onnx` and so on. One of them is installed at a time.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import PurePosixPath

from gateway.cards.installation import LOCK_FILE
from gateway.cards.schema import Card, FileSpec
from gateway.errors import ArtifactError, ConfigurationError

# What people write who want the model as it comes; other servers' setting of this kind has the first word for it.
DEFAULT_WORDS = ("none", "default")
FULL_PRECISION = "fp32"

_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9_]*")
_STEM = "model"


def chosen_variant(card: Card, asked: str | None, *, installed: str | None) -> str | None:
    """The variant to install: the one asked for, else the installed one, else the card's default.

    None for a model that comes in one precision only. Raises `ConfigurationError` for one that cannot be.
    """
    if asked is None:
        return installed if installed is not None else default_variant(card)
    word = asked.strip()
    if word.lower() in DEFAULT_WORDS:
        return default_variant(card)
    word = next((known for known in (*card.variants, FULL_PRECISION) if known.lower() == word.lower()), word)
    if not _WORD.fullmatch(word):
        raise ConfigurationError(
            f"{asked!r} is no variant; {card.name} has {', '.join(card.variants) or 'none'}.",
            remedy="Name one such as fp16, int8 or quantized.",
        )
    if not card.variants and word != FULL_PRECISION:
        raise ConfigurationError(f"{card.name} comes in one precision only, so there is no {word} of it.")
    return word if card.variants else None


def default_variant(card: Card) -> str | None:
    return next(iter(card.variants), None)


def graph_of(card: Card, variant: str | None) -> FileSpec | None:
    """The published graph of a variant: the card's, or else the one that would be at the usual place on the hub. None
    for a model whose graph is built here around its weights."""
    own = [file for file in card.files if file.variant == variant and file.path.endswith(".onnx") and not file.built_by]
    if own or variant is None or variant in card.variants:
        return next(iter(own), None)
    default = graph_of(card, default_variant(card))
    return None if default is None else _sibling(default, variant)


def data_of(card: Card, graph: FileSpec, locations: Sequence[str]) -> tuple[FileSpec, ...]:
    """The files that a graph keeps its weights in, at `locations` relative to itself. The card's own word on one counts
    where it has one. Raises `ArtifactError` where that would be a file of ours."""
    return tuple(_data(card, graph, location) for location in locations)


def published_files(card: Card, variant: str | None) -> tuple[FileSpec, ...]:
    """What the card lists of a variant that is published, the graph first, less what the graph alone can tell: data
    files that nobody has seen, so that the card can only guess that there are such."""
    graph = graph_of(card, variant)
    files = [file for file in card.files_of(variant) if not file.built_by and file != graph]
    kept = [file for file in files if not is_guess(graph, file)]
    return (*([graph] if graph is not None else []), *kept)


def variants_among(hub_path: str, paths: Sequence[str]) -> tuple[str, ...]:
    """The variants that lie beside a graph in its repository, by the names that exporters give them."""
    folder = PurePosixPath(hub_path).parent
    beside = [path for path in paths if path.endswith(".onnx") and PurePosixPath(path).parent == folder]
    words = {word for word in map(variant_in, beside) if word is not None}
    return tuple(sorted(words, key=lambda word: (word != FULL_PRECISION, word)))


def variant_in(path: str) -> str | None:
    """The word for the precision of a graph at this path, by the name that exporters give it: `onnx/model_fp16.onnx`
    is fp16, `model.onnx` the full precision. None for another name."""
    stem = PurePosixPath(path).stem
    if stem == _STEM:
        return FULL_PRECISION
    return stem.removeprefix(f"{_STEM}_") if stem.startswith(f"{_STEM}_") else None


def built_files(card: Card) -> tuple[FileSpec, ...]:
    return tuple(file for file in card.files if file.built_by)


def is_guess(graph: FileSpec | None, file: FileSpec) -> bool:
    """Whether the card lists a data file of this graph that nobody has seen: the graph itself knows better."""
    if graph is None or file == graph or file.sha256 is not None:
        return False
    return file.variant == graph.variant and file.path.startswith(graph.path)


def _data(card: Card, graph: FileSpec, location: str) -> FileSpec:
    path = str(PurePosixPath(graph.path).parent / location)
    listed = next((file for file in card.files if file.path == path), None)
    # Our own files beside the weights are the built ones, the lock, and those that begin with a dot.
    if (listed is not None and listed.built_by) or path == LOCK_FILE or location.startswith("."):
        raise ArtifactError(
            f"{graph.path} of {card.name} keeps weights in {location}, which is a file of this gateway."
        )
    if listed is not None:
        return listed
    hub_path = str(PurePosixPath(graph.hub_path or graph.path).parent / location)
    return FileSpec(path=path, hub_path=hub_path, variant=graph.variant)


def _sibling(default: FileSpec, variant: str) -> FileSpec:
    name = f"{_STEM}.onnx" if variant == FULL_PRECISION else f"{_STEM}_{variant}.onnx"
    return FileSpec(
        path=str(PurePosixPath(default.path).with_name(name)),
        hub_path=str(PurePosixPath(default.hub_path or default.path).with_name(name)),
        variant=variant,
    )
