"""What it takes to write the largest usual answer as bytes: 2,048 vectors of 1,024 values, in base64 and as numbers."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np

from gateway.bench.measurement import MILLISECONDS, Generator, Measurement
from gateway.bench.spread import percentile
from gateway.bench.target import GATEWAY
from gateway.bench.workloads import Workload
from gateway.dialects.embeddings_request import Encoding
from gateway.dialects.embeddings_response import encode_answer_now
from gateway.types import EmbedResult, Float32Array, Usage

ROWS, DIMENSIONS = 2048, 1024
TIMES = 15


def encoding(repeat: int) -> Sequence[Measurement]:
    """The gateway's own code in this process, the median of `TIMES` answers a figure; no server is asked."""
    figures = {
        "encode_base64_ms": _median_ms(lambda vectors: encode_answer_now(_result(vectors), [Encoding.BASE64])),
        "encode_float_ms": _median_ms(lambda vectors: encode_answer_now(_result(vectors), [Encoding.FLOAT])),
    }
    return (Measurement(Workload.ENCODING.value, GATEWAY, Generator.IN_PROCESS, repeat, figures),)


def _median_ms(encode: Callable[[Float32Array], object]) -> float:
    vectors = unit_vectors(ROWS, DIMENSIONS)
    encode(vectors)
    taken = []
    for _ in range(TIMES):
        begin = time.perf_counter()
        encode(vectors)
        taken.append(time.perf_counter() - begin)
    return MILLISECONDS * percentile(taken, 50)


def unit_vectors(rows: int, dimensions: int) -> Float32Array:
    """float32 [rows, dimensions] of length 1: values with all their digits, which take longest to write as numbers."""
    values = np.random.default_rng(7).standard_normal((rows, dimensions))
    unit: Float32Array = (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float32)
    return unit


def _result(vectors: Float32Array) -> EmbedResult:
    return EmbedResult(model="a-model", vectors=vectors, usage=Usage(prompt_tokens=ROWS, total_tokens=ROWS))
