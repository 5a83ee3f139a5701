"""The one internal language: what every public API is translated into and every answer is made from.

No wire words in here (`encoding_format`, `embedding_type`, ...): those belong to the dialects.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum

import numpy as np
import numpy.typing as npt

Float32Array = npt.NDArray[np.float32]
Float64Array = npt.NDArray[np.float64]
Int64Array = npt.NDArray[np.int64]
UInt8Array = npt.NDArray[np.uint8]


class Vocabulary(Enum):
    """Whose token ids a caller sent. Ids say nothing about that themselves, so it is always stated, never guessed."""

    CL100K_BASE = "cl100k_base"
    MODEL = "model"


class Overflow(Enum):
    """What to do with a text that is longer than the model's window: refuse it, or cut off its end or its start."""

    REFUSE = "refuse"
    TRUNCATE = "truncate"
    TRUNCATE_START = "truncate_start"


class OwnPrefixes(Enum):
    """What a text that already begins with one of the model's own prefixes means.

    ROLE: it is not prefixed again, and where the request names no task the prefix chooses the side of the search.
    KEEP: it is not prefixed again. IGNORE: it is a text like any other.
    """

    ROLE = "role"
    KEEP = "keep"
    IGNORE = "ignore"


class Precision(Enum):
    """How a model computes. EXACT: in the type that its files are in, float32 as a rule, so that vectors are those of
    its authors to 1e-5. FAST: in bfloat16, where model and processor can; vectors have a cosine of at least
    `FAST_MIN_COSINE` with those."""

    EXACT = "exact"
    FAST = "fast"


# Below this no model is served fast.
FAST_MIN_COSINE = 0.9999

# The backend pads tokens of a fast call to a multiple of this (`TOKENS_STEP` there), so that a batch changes no vector.
FAST_BLOCK_TOKENS = 16


@dataclass(frozen=True, slots=True)
class TextInput:
    text: str


@dataclass(frozen=True, slots=True)
class TokenInput:
    """One input given as token ids.

    `vocabulary` is None where the caller did not say; the service then applies the configured default.
    """

    ids: tuple[int, ...]
    vocabulary: Vocabulary | None = None


@dataclass(frozen=True, slots=True)
class ImageInput:
    """One image: where it is, or its file's bytes. Exactly one of the two is given."""

    url: str | None = None
    data: bytes | None = None


Input = TextInput | TokenInput | ImageInput


@dataclass(frozen=True, slots=True)
class KeyDefaults:
    """What an API key stands for in requests that leave it open: the model, by any of its names, and the task."""

    model: str | None = None
    task: str | None = None


@dataclass(slots=True)  # made for every request: freezing it would take four times as long as making it
class EmbedRequest:
    """A request for one vector per input, in input order.

    `model` is None where the caller named none. `dimensions` is None for the model's own size.
    `deadline` is a reading of `time.monotonic()`, in seconds. `task` and `side` are the caller's own words for what the
    vectors are for and for the side of a search; the model's card knows what they mean. `normalised` False gives
    vectors of the length they have. With `late_chunking` all inputs are parts of one document, in order, and each
    vector is the mean over its part's tokens in the context of the whole. `multi_vector` asks for one vector a token
    instead of one an input, and `return_tokens` for the tokens beside them; more vectors than
    `max_token_vectors` are not wanted. `texts_only` says that no text is an image, not even one that is a data URI of
    one. `caller` is an opaque name for whose request it is, for fair shares; "" where nobody is told apart.
    `default_task` is the caller's word for requests that say neither task nor side, by a model whose name says none
    either; a model that does not know it passes it over. `may_keep` False keeps its vectors out of the cache, and the
    cache out of its answer. `max_input_tokens`, special tokens and prefix included, cuts texts and ids before the
    model's window does, by an `overflow` that cuts.
    """

    inputs: Sequence[Input]
    deadline: float
    model: str | None = None
    dimensions: int | None = None
    overflow: Overflow = Overflow.REFUSE
    task: str | None = None
    side: str | None = None
    normalised: bool = True
    late_chunking: bool = False
    multi_vector: bool = False
    return_tokens: bool = False
    max_token_vectors: int | None = None
    texts_only: bool = False
    caller: str = ""
    default_task: str | None = None
    may_keep: bool = True
    max_input_tokens: int | None = None


class LongDocuments(Enum):
    """How a reranker reads a document that does not fit beside its query: in overlapping pieces, of which the best one
    counts, or cut to what fits."""

    CHUNK = "chunk"
    TRUNCATE = "truncate"


@dataclass(frozen=True, slots=True)
class RerankRequest:
    """A request for one score per document. `long_documents` None leaves it to the service's own setting;
    `max_document_tokens` cuts documents before anything else. `max_pair_tokens`, special tokens included, stands in for
    the model's window where pairs are cut. `caller` is what it is of an `EmbedRequest`. `tokens_before` are those of
    earlier requests that came in the same call: a call's limit counts them too."""

    query: str
    documents: Sequence[str]
    deadline: float
    model: str | None = None
    long_documents: LongDocuments | None = None
    max_document_tokens: int | None = None
    max_pair_tokens: int | None = None
    caller: str = ""
    tokens_before: int = 0


@dataclass(frozen=True, slots=True)
class ClassifyRequest:
    """A request to choose one of each group's labels for every input, by similarity. A plain list of labels is one
    group. `caller` and `may_keep` are what they are of an `EmbedRequest`."""

    inputs: Sequence[Input]
    label_groups: Sequence[Sequence[str]]
    deadline: float
    model: str | None = None
    task: str | None = None
    overflow: Overflow = Overflow.REFUSE
    caller: str = ""
    may_keep: bool = True


class RowOutput(Enum):
    """What is computed for a row: its vector at unit length, its vector as long as it is, the sums of its token vectors
    over spans, a vector of unit length for each token, or its logit."""

    VECTOR = "vector"
    RAW_VECTOR = "raw_vector"
    SPAN_SUMS = "span_sums"
    TOKEN_VECTORS = "token_vectors"
    LOGIT = "logit"


@dataclass(frozen=True, slots=True)
class RowGroup:
    """What rows have in common that share a model call. `adapter` is the number of the task's adapter, None for a
    model that has none or takes one for each row: the graph takes one for a whole call. Images and texts never share
    one."""

    adapter: int | None = None
    output: RowOutput = RowOutput.VECTOR
    images: bool = False


@dataclass(frozen=True, slots=True)
class TokenRow:
    """One row of token ids as a model reads it, special tokens included.

    `ids` is int64, shape [tokens]. `token_count` is what usage reports; it equals `len(ids)`. `spans` is int64, shape
    [spans, 2], half-open token ranges, for `RowOutput.SPAN_SUMS` and only there. `adapter` is the row's own, for a
    model that takes one for each row. `pixels` is uint8 [height, width, 3], RGB at the size that the model reads, for
    an image and only there; its ids are then the model's image prompt.
    """

    ids: Int64Array
    truncated: bool = False
    group: RowGroup = RowGroup()
    spans: Int64Array | None = None
    adapter: int | None = None
    pixels: UInt8Array | None = None

    @property
    def token_count(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, slots=True)
class Usage:
    """`image_tokens` are those among the tokens that stand for images, markers and prompt around them included."""

    prompt_tokens: int
    total_tokens: int
    image_tokens: int = 0


@dataclass(frozen=True, slots=True)
class StageSeconds:
    """Where a request's time went, in seconds; queue and infer are the longest over its rows. `images` is from the
    first fetched to the last decoded."""

    images: float = 0.0
    tokenize: float = 0.0
    queue: float = 0.0
    infer: float = 0.0


@dataclass(frozen=True, slots=True)
class EmbedResult:
    """Vectors for one request.

    `vectors` is float32, shape [inputs, dimensions], unit length unless the request asked otherwise, in input
    order. `model` is the public model name. Asked for one vector a token, `vectors` has no rows, and `token_vectors`
    holds for each input float32 [tokens, size], each of unit length; `tokens` are their texts, where asked for.
    `warnings` are short sentences a dialect may pass on in a header.
    """

    model: str
    vectors: Float32Array
    usage: Usage
    truncated: int = 0
    warnings: tuple[str, ...] = ()
    stages: StageSeconds = field(default_factory=StageSeconds)
    token_vectors: tuple[Float32Array, ...] | None = None
    tokens: tuple[tuple[str, ...], ...] | None = None


@dataclass(frozen=True, slots=True)
class RerankResult:
    """`scores` is float64 [documents], each from 0 to 1, in the order of the documents given; `logits`, float32
    [documents], is what the model gave for them."""

    model: str
    scores: Float64Array
    logits: Float32Array
    usage: Usage
    stages: StageSeconds = field(default_factory=StageSeconds)


@dataclass(frozen=True, slots=True)
class ClassifyResult:
    """`scores` holds, for each group of labels in order, float64 [inputs, labels]: each row adds up to 1."""

    model: str
    scores: tuple[Float64Array, ...]
    usage: Usage
    stages: StageSeconds = field(default_factory=StageSeconds)


@dataclass(frozen=True, slots=True)
class TextToken:
    """A token as a model's tokenizer gives it: [start, stop) are its characters of the text, None for a special token
    that the tokenizer adds."""

    id: int
    text: str
    special: bool
    start: int | None = None
    stop: int | None = None


@dataclass(frozen=True, slots=True)
class Segmentation:
    """A text's tokens and pieces. `tokens` are parts of the text in order, each with its ids; what a tokenizer drops is
    in none. `chunk_positions` are [start, end) in characters; the pieces cover the whole text."""

    token_count: int
    tokens: tuple[tuple[str, tuple[int, ...]], ...] = ()
    chunk_positions: tuple[tuple[int, int], ...] = ()
