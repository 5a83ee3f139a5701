"""What the processor can do with a model and nothing around it: ONNX Runtime in a loop over sorted batches."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Sequence

import numpy as np
import onnxruntime

from gateway.bench.measurement import Load
from gateway.bench.model_rows import Batch, ModelRows
from gateway.cards.schema import VERSION_FOLDER, Card
from gateway.types import Float32Array

NAME = "ceiling"

# As many as the gateway could sort at once with a few requests in line.
WINDOW_TEXTS = 256


class Ceiling:
    """The model in this process, all cores, the same output that Triton is asked for."""

    def __init__(self, card: Card) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 0
        graph = card.path_of(f"{VERSION_FOLDER}/{card.triton.default_model_filename}")
        self._session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        self.model = ModelRows(card)

    def embed(self, texts: Sequence[str]) -> Float32Array:
        """float32 [texts, dimensions], as callers of the gateway get them."""
        vectors: list[Float32Array] = [np.empty(0, np.float32)] * len(texts)
        for batch in self.model.batches(texts):
            for place, vector in zip(batch.places, self.model.vectors(batch, self._run(batch)), strict=True):
                vectors[place] = vector
        return np.stack(vectors)

    def _run(self, batch: Batch) -> Float32Array:
        output: Float32Array = self._session.run([self.model.reading.output], batch.tensors)[0]
        return output

    def throughput(self, texts: Sequence[str], *, seconds: float) -> Load:
        """Inference only: texts are tokenized, sorted within `WINDOW_TEXTS` and padded beforehand. Windows are done
        whole, because each begins with its long texts; one at least."""
        windows = [texts[start : start + WINDOW_TEXTS] for start in range(0, len(texts), WINDOW_TEXTS)]
        prepared = itertools.cycle([(len(window), self.model.batches(window)) for window in windows])
        done, begin = 0, time.perf_counter()
        while not done or time.perf_counter() - begin < seconds:
            count, batches = next(prepared)
            for batch in batches:
                self._run(batch)
            done += count
        return Load(done, time.perf_counter() - begin)

    def seconds_of(self, batch: Batch) -> float:
        """How long one batch takes."""
        begin = time.perf_counter()
        self._run(batch)
        return time.perf_counter() - begin
