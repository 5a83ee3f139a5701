"""What the processor can do with this model and nothing around it: ONNX Runtime in a loop over sorted batches."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime
from tokenizers import Tokenizer

from gateway.types import Float32Array, Int64Array

MAX_BATCH_TOKENS = 512


class Ceiling:
    """The bundled model in this process, all cores, pooled output."""

    def __init__(self, model_folder: Path) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = os.cpu_count() or 1
        self._session = onnxruntime.InferenceSession(
            model_folder / "model.onnx", options, providers=["CPUExecutionProvider"]
        )
        self._tokenizer = Tokenizer.from_file(str(model_folder / "tokenizer.json"))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(256)

    def ids(self, texts: Sequence[str]) -> list[list[int]]:
        return [encoding.ids for encoding in self._tokenizer.encode_batch_fast(list(texts))]

    def sorted_batches(self, rows: Sequence[Sequence[int]]) -> list[tuple[list[int], dict[str, Int64Array]]]:
        """Longest first, cut where longest x count would pass the budget; each with its row numbers."""
        order = sorted(range(len(rows)), key=lambda index: -len(rows[index]))
        batches = []
        while order:
            take = max(1, MAX_BATCH_TOKENS // len(rows[order[0]]))
            batches.append((order[:take], _tensors([rows[index] for index in order[:take]])))
            order = order[take:]
        return batches

    def embed(self, texts: Sequence[str]) -> Float32Array:
        """float32 [texts, dimensions], for the parity check."""
        rows = self.ids(texts)
        vectors = [np.empty(0, np.float32)] * len(rows)
        for numbers, tensors in self.sorted_batches(rows):
            for number, vector in zip(numbers, self.run(tensors), strict=True):
                vectors[number] = vector
        return np.stack(vectors)

    def run(self, tensors: dict[str, Int64Array]) -> Float32Array:
        output: Float32Array = self._session.run(["sentence_embedding"], tensors)[0]
        return output

    def texts_per_second(self, texts: Sequence[str], *, seconds: float) -> float:
        """Inference only: texts are tokenized, sorted and padded beforehand."""
        batches = [tensors for _, tensors in self.sorted_batches(self.ids(texts))]
        done, begin = 0, time.perf_counter()
        while time.perf_counter() - begin < seconds:
            for tensors in batches:
                self.run(tensors)
            done += len(texts)
        return done / (time.perf_counter() - begin)


def _tensors(rows: Sequence[Sequence[int]]) -> dict[str, Int64Array]:
    longest = max(len(row) for row in rows)
    ids = np.zeros((len(rows), longest), np.int64)
    mask = np.zeros_like(ids)
    for number, row in enumerate(rows):
        ids[number, : len(row)] = row
        mask[number, : len(row)] = 1
    return {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
