"""The execution in bfloat16 by itself: whole blocks, its outputs' sizes, what it refuses, and how much it keeps."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import psutil
import pytest

from gateway.triton.embedded.backend_directory import OUR_BACKENDS
from gateway.types import FAST_BLOCK_TOKENS
from tests.conftest import BUNDLED_MODEL, REPOSITORY, missing_bundled_model, missing_fast, need

GRAPH = REPOSITORY / BUNDLED_MODEL / "1" / "model.onnx"
OUTPUTS = ["sentence_embedding", "last_hidden_state"]


@pytest.fixture(scope="module")
def backend() -> Iterator[ModuleType]:
    need(missing_fast())
    need(missing_bundled_model())
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(OUR_BACKENDS / "onnxruntime"))
        patch.setenv("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "0")
        before = set(sys.modules)
        yield importlib.import_module("onnxruntime_backend.openvino_execution")
        for name in {one for one in sys.modules if one.startswith("onnxruntime_backend")} - before:
            del sys.modules[name]


@pytest.fixture(scope="module")
def execution(backend: ModuleType) -> Any:
    return backend.OpenVinoExecution(GRAPH, {})


def feeds(*lengths: int) -> dict[str, np.ndarray]:
    """Rows of these lengths, each the beginning of the same text, padded to the longest."""
    ids = np.zeros((len(lengths), max(lengths)), np.int64)
    for row, length in zip(ids, lengths, strict=True):
        row[:length] = 2000 + 7 * np.arange(length)
    mask = (np.arange(ids.shape[1]) < np.array(lengths)[:, None]).astype(np.int64)
    return {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}


def spread(execution: Any) -> float:
    """The largest difference that longer neighbours make to a text's vector."""
    worst = 0.0
    for length in (35, 87, 106, 155):
        (alone,) = execution.run(OUTPUTS[:1], feeds(length), all_cores=True)
        for neighbour in (length + 3, 112, 181, 236):
            (batched,) = execution.run(OUTPUTS[:1], feeds(length, neighbour), all_cores=False)
            worst = max(worst, float(np.abs(batched[0] - alone[0]).max()))
    return worst


def test_neighbours_change_nothing_and_would_without_whole_blocks(
    backend: ModuleType, execution: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert spread(execution) == 0
    monkeypatch.setattr(backend, "TOKENS_STEP", 1)
    assert spread(execution) > 1e-5


def test_the_scheduler_cuts_by_the_blocks_that_are_computed(backend: ModuleType) -> None:
    assert backend.TOKENS_STEP == FAST_BLOCK_TOKENS


@pytest.mark.parametrize("length", [1, 15, 16, 17])
def test_token_vectors_are_those_of_the_given_tokens(execution: Any, length: int) -> None:
    pooled, tokens = execution.run(OUTPUTS, feeds(length, length), all_cores=False)
    assert (pooled.shape, tokens.shape) == ((2, 384), (2, length, 384))
    (longer,) = execution.run(OUTPUTS[1:], feeds(length, 40), all_cores=False)
    assert np.array_equal(tokens[0], longer[0, :length])


def test_calls_from_many_threads_answer_each_its_own(execution: Any) -> None:
    expected = {length: execution.run(OUTPUTS[:1], feeds(length), all_cores=True)[0] for length in range(1, 40)}
    with ThreadPoolExecutor(6) as threads:
        given = threads.map(
            lambda length: execution.run(OUTPUTS[:1], feeds(length), all_cores=length % 3 == 0)[0], expected
        )
        assert all(np.array_equal(one, expected[length]) for length, one in zip(expected, given, strict=True))


def test_what_is_kept_for_shapes_is_bounded(execution: Any) -> None:
    """Without bounds it is 1.3 MB a shape and stream: 250 MB here."""
    for length in range(16, 176, 16):
        execution.run(OUTPUTS[:1], feeds(*[length] * 10), all_cores=False)
    before = psutil.Process().memory_full_info().uss
    for rows in range(1, 10):
        for length in range(16, 176, 16):
            execution.run(OUTPUTS[:1], feeds(*[length] * rows), all_cores=False)
    assert psutil.Process().memory_full_info().uss - before < 100e6


def test_a_graph_that_is_none_is_refused_in_a_sentence(backend: ModuleType, tmp_path: Path) -> None:
    config_error = sys.modules["onnxruntime_backend.model_config"].ConfigError
    with pytest.raises(config_error, match="missing in version folder"):
        backend.OpenVinoExecution(tmp_path / "model.onnx", {})
    (tmp_path / "model.onnx").write_bytes(b"no graph")
    with pytest.raises(config_error, match="cannot read this graph") as caught:
        backend.OpenVinoExecution(tmp_path / "model.onnx", {})
    assert str(tmp_path) not in str(caught.value)


def test_a_processor_without_bfloat16_is_refused(backend: ModuleType) -> None:
    class Core:
        def get_property(self, device: str, name: str) -> list[str]:
            return ["FP32", "INT8"]

    with pytest.raises(sys.modules["onnxruntime_backend.model_config"].ConfigError, match="no instructions"):
        backend.refuse_other_processors(Core())
