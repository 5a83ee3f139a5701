"""What a test gets of a twin: the files its repository would hold, and what the model has to compute."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from tokenizers import Tokenizer

Weights = dict[str, np.ndarray]


@dataclass(frozen=True, slots=True, eq=False)
class Twin:
    """`files` maps upstream paths to bytes. `weights` (float32, by upstream names) and `config` are for oracles.

    `forward` takes the int64 ids [tokens] of one row without padding, and a task where the model has several; it gives
    float64 [tokens, dimensions], in NumPy and from `weights` alone. `token_dimensions` is the size of a token's own
    vector, of a model that gives one a token.
    """

    repository: str
    files: Mapping[str, bytes]
    dimensions: int
    max_tokens: int
    pad_id: int
    pooling: str
    weights: Weights
    config: Mapping[str, object]
    forward: Callable[..., np.ndarray]
    matryoshka: tuple[int, ...] = ()
    token_dimensions: int | None = None

    def hidden_states(self, ids: np.ndarray, **choice: int) -> np.ndarray:
        """float64 [tokens, dimensions] for one row of int64 ids [tokens]; `task=` where there are several."""
        return self.forward(np.asarray(ids, dtype=np.int64), **choice)

    def vector(self, ids: np.ndarray, *, dimensions: int | None = None, **choice: int) -> np.ndarray:
        """float64 [dimensions] of unit length: pooled as the model asks for, cut to its first `dimensions`."""
        hidden = self.hidden_states(ids, **choice)
        pooled = {"mean": hidden.mean(axis=0), "cls": hidden[0], "lasttoken": hidden[-1]}[self.pooling]
        pooled = pooled[:dimensions]
        return pooled / np.linalg.norm(pooled)

    def tokenizer(self) -> Tokenizer:
        """The published tokenizer, with whatever truncation and padding its file carries."""
        return Tokenizer.from_str(self.files["tokenizer.json"].decode())

    def ids(self, text: str) -> np.ndarray:
        """int64 [tokens], special tokens included, neither cut nor padded."""
        tokenizer = self.tokenizer()
        tokenizer.no_truncation()
        tokenizer.no_padding()
        return np.array(tokenizer.encode(text).ids, dtype=np.int64)
