"""What a model reads around an image: the card's prompt, in which one token is repeated for each token of the image."""

from __future__ import annotations

from dataclasses import dataclass
from sys import maxsize

import numpy as np

from gateway.cards.schema import ImageSpec
from gateway.errors import ConfigurationError
from gateway.text.tokenizer import TextTokenizer
from gateway.types import Int64Array


@dataclass(frozen=True, slots=True)
class ImagePrompt:
    """`before` and `after` are int64 [tokens], on both sides of the token `pad_id`."""

    before: Int64Array
    after: Int64Array
    pad_id: int
    unit_pixels: int

    @classmethod
    def of(cls, tokenizer: TextTokenizer, spec: ImageSpec) -> ImagePrompt:
        """Raises `ConfigurationError` for a tokenizer that has no token of its own for images, or does not find it in
        the prompt exactly once."""
        pad, prompt = tokenizer.encode_bare([spec.pad_token, spec.prompt], most=maxsize)
        if len(pad.ids) != 1:
            raise ConfigurationError(
                f"The tokenizer reads the model's image token {spec.pad_token!r} as {len(pad.ids)} tokens instead of "
                "one, so it is not the one that the model was trained with.",
                remedy="Use the tokenizer.json that the model was published with.",
            )
        places = np.flatnonzero(prompt.ids == pad.ids[0])
        if len(places) != 1:
            raise ConfigurationError(
                f"The model's image prompt holds its image token {len(places)} times instead of once.",
                remedy="Mend `prompt` and `pad_token` in the card's section [images].",
            )
        place = int(places[0])
        return cls(prompt.ids[:place], prompt.ids[place + 1 :], int(pad.ids[0]), spec.unit_pixels)

    @property
    def own_tokens(self) -> int:
        """Tokens around those that stand for the image."""
        return len(self.before) + len(self.after)

    def ids(self, height: int, width: int) -> Int64Array:
        """int64 [tokens], for an image of that size in pixels as the model reads it: multiples of the unit."""
        count = (height // self.unit_pixels) * (width // self.unit_pixels)
        return np.concatenate((self.before, np.full(count, self.pad_id, dtype=np.int64), self.after))
