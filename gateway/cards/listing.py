"""What a list of models says about one that is served."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.cards.schema import Model

TEXT, IMAGE = "text", "image"


@dataclass(frozen=True, slots=True)
class ModelListing:
    """`tasks` are those whose Triton models are loaded. `variant` is the installed precision, None where there is only
    one. `batch_invariant` False: texts go to the model one at a time, so that a vector depends on its own text alone.
    """

    model: Model
    tasks: tuple[str, ...] = ()
    variant: str | None = None
    batch_invariant: bool = True

    @property
    def modalities(self) -> tuple[str, ...]:
        """What an input may be: `text`, `image`."""
        return (TEXT,) if self.model.card.images is None else (TEXT, IMAGE)

    @property
    def multi_vector(self) -> bool:
        """Whether the model gives a vector for each token where it is asked to."""
        vectors = self.model.card.vectors
        return vectors is not None and vectors.token_dimensions is not None
