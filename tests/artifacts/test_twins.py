"""The twins are what they say: their ONNX graphs compute what their NumPy oracles compute, and hold the traps."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnxruntime.capi.onnxruntime_pybind11_state import Fail, InvalidArgument

from tests.support.twins import v3
from tests.support.twins.publishing import write
from tests.support.twins.twin import Twin

TEXTS = [
    "The quick brown fox jumps over the lazy dog, and it is a model for search.",
    "a",
    "",
    "你好世界 Größe, naïve café: 🙂🚀",
    "Represent the document for retrieval: apples",
]
FP32, FP16 = 1e-5, 2e-2
MODELS = [("onnx/model.onnx", FP32), ("onnx/model_fp16.onnx", FP16)]

Feeds = dict[str, np.ndarray]


def session(twin: Twin, path: str, folder: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(write(twin, folder) / path, options, providers=["CPUExecutionProvider"])


def batch(rows: Sequence[np.ndarray], *, left: bool = False) -> Feeds:
    """Ids and mask padded to the longest; the padding holds the ids of another text, which must not matter."""
    longest = max(map(len, rows))
    ids = np.tile(np.resize(rows[0][::-1], longest), (len(rows), 1)).astype(np.int64)
    mask = np.zeros_like(ids)
    for place, row in enumerate(rows):
        kept = slice(longest - len(row), longest) if left else slice(0, len(row))
        ids[place, kept], mask[place, kept] = row, 1
    return {"input_ids": ids, "attention_mask": mask}


def assert_rows(got: np.ndarray, expected: Sequence[np.ndarray], tolerance: float) -> None:
    """`got` [rows, longest, ...], right-padded, holds each of `expected` [tokens, ...]."""
    for place, row in enumerate(expected):
        np.testing.assert_allclose(got[place, : len(row)], row, rtol=0, atol=tolerance)


def tensor_types(graph: onnxruntime.InferenceSession) -> Mapping[str, str]:
    return {tensor.name: tensor.type for tensor in [*graph.get_inputs(), *graph.get_outputs()]}


def distance(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.abs(one - other).max())


class TestV3:
    @pytest.mark.parametrize(("path", "tolerance"), MODELS)
    def test_each_task_is_what_numpy_computes(self, tmp_path: Path, path: str, tolerance: float) -> None:
        twin = v3.build()
        graph = session(twin, path, tmp_path)
        rows = [twin.ids(text) for text in TEXTS]
        for task in range(len(v3.TASKS)):
            hidden, pooler = graph.run(None, {**batch(rows), "task_id": np.array(task)})
            assert_rows(hidden, [twin.hidden_states(row, task=task) for row in rows], tolerance)
            expected = np.stack([v3.pooler_output(row, task=task) for row in rows])
            np.testing.assert_allclose(pooler, expected, rtol=0, atol=tolerance)

    @pytest.mark.parametrize(("path", "_"), MODELS)
    def test_the_signature_is_upstreams(self, tmp_path: Path, path: str, _: float) -> None:
        graph = session(v3.build(), path, tmp_path)
        assert [(one.name, one.type, len(one.shape)) for one in graph.get_inputs()] == [
            ("input_ids", "tensor(int64)", 2),
            ("attention_mask", "tensor(int64)", 2),
            ("task_id", "tensor(int64)", 0),
        ]
        assert [(one.name, one.type, len(one.shape)) for one in graph.get_outputs()] == [
            ("text_embeds", "tensor(float)", 3),
            ("13049", "tensor(float)", 2),
        ]

    def test_a_swapped_adapter_shows(self) -> None:
        twin = v3.build()
        vectors = [[twin.vector(twin.ids(text), task=task) for task in range(5)] for text in TEXTS]
        for tasks in vectors:
            assert min(distance(tasks[a], tasks[b]) for a in range(5) for b in range(a)) > 0.05

    def test_a_task_id_of_another_shape_goes_wrong(self, tmp_path: Path) -> None:
        twin = v3.build()
        graph = session(twin, "onnx/model.onnx", tmp_path)
        feeds = batch([twin.ids(text) for text in TEXTS[:2]])
        right = graph.run(["text_embeds"], {**feeds, "task_id": np.array(1)})[0]
        silent = graph.run(["text_embeds"], {**feeds, "task_id": np.array([1])})[0]
        assert distance(right, silent) > 0.1
        with pytest.raises(Fail, match="Reshape"):
            graph.run(None, {**feeds, "task_id": np.array([1, 1])})

    def test_minus_one_is_the_last_task_and_five_is_refused(self, tmp_path: Path) -> None:
        twin = v3.build()
        graph = session(twin, "onnx/model.onnx", tmp_path)
        feeds = batch([twin.ids(TEXTS[0])])
        last, wrapped = (graph.run(["text_embeds"], {**feeds, "task_id": np.array(task)})[0] for task in (4, -1))
        np.testing.assert_array_equal(last, wrapped)
        with pytest.raises(InvalidArgument, match="out of data bounds"):
            graph.run(None, {**feeds, "task_id": np.array(5)})

    def test_the_pooler_is_not_the_vector(self) -> None:
        twin = v3.build()
        ids = twin.ids(TEXTS[0])
        pooler = v3.pooler_output(ids, task=1)
        assert distance(pooler / np.linalg.norm(pooler), twin.vector(ids, task=1)) > 0.1

    def test_a_row_as_long_as_the_window_runs(self, tmp_path: Path) -> None:
        twin = v3.build()
        ids = np.resize(twin.ids(TEXTS[0])[1:-1], twin.max_tokens)
        graph = session(twin, "onnx/model.onnx", tmp_path)
        hidden = graph.run(["text_embeds"], {**batch([ids]), "task_id": np.array(3)})[0]
        assert_rows(hidden, [twin.hidden_states(ids, task=3)], FP32)

    def test_the_tokenizer_frames_a_text_and_a_pair(self) -> None:
        tokenizer = v3.build().tokenizer()
        pair = tokenizer.encode("the fox", "apples")
        assert pair.tokens == ["<s>", "▁the", "▁fox", "</s>", "</s>", "▁apples", "</s>"]
        assert tokenizer.encode("").ids == [0, 2]
        assert tokenizer.encode("🚀").ids[-2] == 3
        assert 3 not in tokenizer.encode("".join(map(chr, range(32, 127)))).ids

    def test_the_data_file_is_named_as_upstream_names_it(self) -> None:
        twin = v3.build()
        graph = onnx.load_model_from_string(twin.files["onnx/model.onnx"])
        locations = {
            entry.value for one in graph.graph.initializer for entry in one.external_data if entry.key == "location"
        }
        assert locations == {"model.onnx_data"}
        assert "onnx/model_fp16.onnx_data" not in twin.files
        prompts = json.loads(twin.files["config_sentence_transformers.json"])["prompts"]
        assert tuple(prompts) == v3.TASKS

    def test_the_same_seed_gives_the_same_bytes(self) -> None:
        first = dict(v3.build().files)
        v3.build.cache_clear()
        assert dict(v3.build().files) == first
