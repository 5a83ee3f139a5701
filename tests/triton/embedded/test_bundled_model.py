"""The bundled model in the real server, against ONNX Runtime in this process: the same bits."""

from __future__ import annotations

import os

import numpy as np
import onnxruntime as ort
import pytest
from tritonclient.grpc import InferenceServerClient, InferInput, InferRequestedOutput

from tests.conftest import REPOSITORY, ServedTriton

INPUTS = ("input_ids", "attention_mask", "token_type_ids")


@pytest.fixture(scope="module")
def session(embedded_triton: ServedTriton) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = len(os.sched_getaffinity(0))
    return ort.InferenceSession(REPOSITORY / embedded_triton.model / "1" / "model.onnx", options)


@pytest.mark.parametrize(("rows", "tokens"), [(1, 3), (1, 256), (5, 17), (8, 64)])
def test_vectors_equal_onnxruntime_bit_for_bit(
    embedded_triton: ServedTriton, session: ort.InferenceSession, rows: int, tokens: int
) -> None:
    random = np.random.default_rng(tokens)
    lengths = random.integers(2, tokens, size=rows, endpoint=True)
    mask = (np.arange(tokens) < lengths[:, None]).astype(np.int64)
    ids = random.integers(1000, 30000, size=(rows, tokens)) * mask
    feeds = dict(zip(INPUTS, (ids, mask, np.zeros_like(ids)), strict=True))
    outputs = ["sentence_embedding", "last_hidden_state"]
    expected = session.run(outputs, feeds)
    tensors = []
    for name, array in feeds.items():
        tensor = InferInput(name, list(array.shape), "INT64")
        tensor.set_data_from_numpy(array)
        tensors.append(tensor)
    with InferenceServerClient(embedded_triton.grpc) as client:
        answer = client.infer(embedded_triton.model, tensors, outputs=[InferRequestedOutput(name) for name in outputs])
    for name, array in zip(outputs, expected, strict=True):
        got = answer.as_numpy(name)
        assert got.shape == array.shape
        assert got.tobytes() == array.tobytes()
