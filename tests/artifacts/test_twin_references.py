"""The twins against transformers: `tests/golden/make_twin_references.py` has its own classes run on their weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from tests.support.twins import reranker_v2, v3, v5_nano, v5_small, v5_text
from tests.support.twins.publishing import write
from tests.support.twins.twin import Twin

GOLDEN = Path(__file__).parents[1] / "golden" / "twin_references.npz"
TOLERANCE = 1e-4
TEXTS = [
    "The quick brown fox jumps over the lazy dog, and it is a model for search.",
    "a",
    "你好世界 Größe, naïve café: 🙂🚀",
    "Represent the document for retrieval: apples",
]

Arrays = dict[str, np.ndarray]
Build = Callable[[str], Twin]


@pytest.fixture(scope="module")
def golden() -> Arrays:
    with np.load(GOLDEN) as arrays:
        return dict(arrays)


def rows_of(golden: Arrays, name: str) -> list[np.ndarray]:
    return np.split(golden[f"{name}/ids"], np.cumsum(golden[f"{name}/lengths"])[:-1])


def hidden_of(golden: Arrays, name: str) -> list[np.ndarray]:
    return np.split(golden[f"{name}/hidden"], np.cumsum(golden[f"{name}/lengths"])[:-1])


def run(twin: Twin, folder: Path, row: np.ndarray, **more: np.ndarray) -> list[np.ndarray]:
    """The fp32 graph's outputs for one row, less the batch dimension."""
    graph = onnxruntime.InferenceSession(write(twin, folder) / "onnx/model.onnx", providers=["CPUExecutionProvider"])
    feeds = {"input_ids": row[None], "attention_mask": np.ones((1, len(row)), np.int64), **more}
    return [output[0] for output in graph.run(None, feeds)]


def assert_close(got: object, expected: object) -> None:
    np.testing.assert_allclose(got, expected, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize(
    ("name", "build"),
    [("v3", v3.build), ("v5_nano", v5_nano.build), ("v5_small", v5_small.build)],
    ids=["v3", "v5_nano", "v5_small"],
)
def test_the_texts_still_have_the_ids_that_the_references_are_for(
    golden: Arrays, name: str, build: Callable[[], Twin]
) -> None:
    rows = rows_of(golden, name)
    for text, row in zip(TEXTS, rows, strict=False):
        np.testing.assert_array_equal(build().ids(text), row)
    assert len(rows[-1]) == 96


@pytest.mark.parametrize("task", range(5))
def test_v3_with_one_tasks_adapters_is_transformers_with_them_merged(golden: Arrays, tmp_path: Path, task: int) -> None:
    twin = v3.build()
    for place, row in enumerate(rows_of(golden, "v3")):
        vector, pooler = golden["v3/vectors"][task, place], golden["v3/poolers"][task, place]
        hidden, decoy = run(twin, tmp_path, row, task_id=np.array(task))
        mean = hidden.mean(axis=0)
        assert_close(mean / np.linalg.norm(mean), vector)
        assert_close(twin.vector(row, task=task), vector)
        assert_close(decoy, pooler)
        assert_close(v3.pooler_output(row, task=task), pooler)


def test_every_token_of_v3_is_transformers(golden: Arrays, tmp_path: Path) -> None:
    twin = v3.build()
    for row, expected in zip(rows_of(golden, "v3"), hidden_of(golden, "v3"), strict=True):
        assert_close(run(twin, tmp_path, row, task_id=np.array(0))[0], expected)
        assert_close(twin.hidden_states(row, task=0), expected)


@pytest.mark.parametrize("task", v5_text.TASKS)
@pytest.mark.parametrize(
    ("name", "build"), [("v5_nano", v5_nano.build), ("v5_small", v5_small.build)], ids=["v5_nano", "v5_small"]
)
def test_each_v5_task_is_transformers(golden: Arrays, tmp_path: Path, name: str, build: Build, task: str) -> None:
    twin = build(task)
    for row, vector in zip(rows_of(golden, name), golden[f"{name}/vectors"][v5_text.TASKS.index(task)], strict=True):
        assert_close(run(twin, tmp_path, row)[1], vector)
        assert_close(twin.vector(row), vector)


@pytest.mark.parametrize(
    ("name", "build"), [("v5_nano", v5_nano.build), ("v5_small", v5_small.build)], ids=["v5_nano", "v5_small"]
)
def test_every_token_of_v5_is_transformers(golden: Arrays, tmp_path: Path, name: str, build: Build) -> None:
    twin = build(v5_text.TASKS[0])
    for row, expected in zip(rows_of(golden, name), hidden_of(golden, name), strict=True):
        assert_close(run(twin, tmp_path, row)[0], expected)
        assert_close(twin.hidden_states(row), expected)


def test_the_rerankers_logits_are_transformers(golden: Arrays, tmp_path: Path) -> None:
    rows, logits = rows_of(golden, "reranker_v2"), golden["reranker_v2/logits"]
    for row, expected in zip(rows, logits, strict=True):
        assert_close(run(reranker_v2.build(), tmp_path, row)[0], [expected])
        assert_close(reranker_v2.logit(row), expected)
