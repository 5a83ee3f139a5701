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
Int64Array = npt.NDArray[np.int64]


class Vocabulary(Enum):
    """Whose token ids a caller sent. Ids say nothing about that themselves, so it is always stated, never guessed."""

    CL100K_BASE = "cl100k_base"
    MODEL = "model"


class Overflow(Enum):
    """What to do with a text that is longer than the model's window."""

    REFUSE = "refuse"
    TRUNCATE = "truncate"


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


Input = TextInput | TokenInput


@dataclass(frozen=True, slots=True)
class EmbedRequest:
    """A request for one vector per input, in input order.

    `model` is None where the caller named none. `dimensions` is None for the model's own size.
    `deadline` is a reading of `time.monotonic()`, in seconds.
    """

    inputs: Sequence[Input]
    deadline: float
    model: str | None = None
    dimensions: int | None = None
    overflow: Overflow = Overflow.REFUSE


@dataclass(frozen=True, slots=True)
class TokenRow:
    """One tokenized input, special tokens included.

    `ids` is int64, shape [tokens]. `token_count` is what usage reports; it equals `len(ids)`.
    """

    ids: Int64Array
    truncated: bool = False

    @property
    def token_count(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, slots=True)
class Usage:
    prompt_tokens: int
    total_tokens: int


@dataclass(frozen=True, slots=True)
class StageSeconds:
    """Where a request's time went, in seconds; queue and infer are the longest over its rows."""

    tokenize: float = 0.0
    queue: float = 0.0
    infer: float = 0.0


@dataclass(frozen=True, slots=True)
class EmbedResult:
    """Vectors for one request.

    `vectors` is float32, shape [inputs, dimensions], unit length, in input order. `model` is the public model name.
    `warnings` are short sentences a dialect may pass on in a header.
    """

    model: str
    vectors: Float32Array
    usage: Usage
    truncated: int = 0
    warnings: tuple[str, ...] = ()
    stages: StageSeconds = field(default_factory=StageSeconds)
