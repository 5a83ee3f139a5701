"""Random weights in PyTorch's shapes, large enough that a wrong step in a forward pass shows."""

from __future__ import annotations

import numpy as np

from tests.support.twins.twin import Weights


class Drawing:
    """Fills `weights`, float32 by name, from one seed; the order of calls matters."""

    def __init__(self, seed: int) -> None:
        self.weights: Weights = {}
        self._generator = np.random.default_rng(seed)

    def array(self, name: str, *shape: int, scale: float) -> None:
        self.weights[name] = self._draw(shape, scale)

    def dense(self, name: str, inputs: int, outputs: int, *, scale: float = 1.0, bias: bool = True) -> None:
        """A weight [outputs, inputs] that keeps the input's variance, times `scale` squared."""
        self.array(f"{name}.weight", outputs, inputs, scale=scale * inputs**-0.5)
        if bias:
            self.array(f"{name}.bias", outputs, scale=0.1)

    def norm(self, name: str, size: int) -> None:
        """A layer norm's gain around 1 and its bias around 0."""
        self.weights[f"{name}.weight"] = 1.0 + self._draw((size,), 0.2)
        self.weights[f"{name}.bias"] = self._draw((size,), 0.2)

    def _draw(self, shape: tuple[int, ...], scale: float) -> np.ndarray:
        return self._generator.normal(0.0, scale, shape).astype(np.float32)
