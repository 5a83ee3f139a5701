"""What a list of models says about one that is served."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from gateway.cards.schema import Model
from gateway.types import Precision

TEXT, IMAGE = "text", "image"


@dataclass(frozen=True, slots=True)
class ModelListing:
    """`tasks` are those whose Triton models are loaded. `variant` is the installed precision, None where there is only
    one. `batch_invariant` False: texts go to the model one at a time, so that a vector depends on its own text alone.
    `precision` is what its vectors really come in.
    `configured_task` and `configured_max_tokens` are the operator's own words on the default task and the window.
    `configured_aliases` are the operator's own names for it, each with the task that it stands for, None for none.
    `size_bytes` is what the installed files take, `digest` a sha256 over theirs, "" where nothing is known of them,
    `installed_at` when they were last proved: UTC, ISO 8601.
    """

    model: Model
    tasks: tuple[str, ...] = ()
    variant: str | None = None
    batch_invariant: bool = True
    precision: Precision = Precision.EXACT
    configured_task: str | None = None
    configured_max_tokens: int | None = None
    configured_aliases: Mapping[str, str | None] = field(default_factory=dict)
    size_bytes: int = 0
    digest: str = ""
    installed_at: str | None = None

    @property
    def default_task(self) -> str | None:
        """The task of a request that names none."""
        return self.configured_task or self.model.card.tasks.default

    @property
    def max_tokens(self) -> int:
        """The longest input, in tokens, special tokens included."""
        own = self.model.card.tokenizer.max_tokens
        return min(own, self.configured_max_tokens or own)

    @property
    def modalities(self) -> tuple[str, ...]:
        """What an input may be: `text`, `image`."""
        return (TEXT,) if self.model.card.images is None else (TEXT, IMAGE)

    @property
    def multi_vector(self) -> bool:
        """Whether the model gives a vector for each token where it is asked to."""
        vectors = self.model.card.vectors
        return vectors is not None and vectors.token_dimensions is not None
