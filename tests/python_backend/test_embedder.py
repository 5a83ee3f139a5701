"""Rows to vectors, beside transformers' own model run one row at a time with each task's adapter folded in by hand."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from gateway.python_backend.call_rows import CallRow
from gateway.python_backend.embedder import Embedder
from gateway.python_backend.faults import CallError
from tests.conftest import MERGED_V4
from tests.python_backend.checkpoints import ADAPTER_OF, FIVE_TASKS, TASKS, image_row, load, text_row
from tests.support.images import image_file
from tests.support.v4_oracle import PROMPTS, unit

if TYPE_CHECKING:
    from tests.support.v4_oracle import V4Oracle

TOLERANCE = 1e-4
# A task of each adapter's, in the adapters' order.
BY_ADAPTER = ("retrieval.query", "text-matching", "code.query")
LENGTHS = [1, 2, 3, 17, 64, 65, 200, 511, 1200, 2000]
SIZES = [(28, 28), (1, 150), (150, 1), (200, 90), (640, 480), (113, 400)]


def random_ids(length: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng([length, seed]).integers(0, 540, length)


def assert_alike(made: np.ndarray, expected: np.ndarray) -> None:
    assert made.shape == expected.shape
    assert np.abs(made - expected).max() <= TOLERANCE
    cosines = (unit(made.astype(np.float64)) * unit(expected)).sum(axis=-1)
    assert cosines.min() >= 0.9999


def cut(values: np.ndarray, rows: Sequence[CallRow]) -> list[np.ndarray]:
    return np.split(values, np.cumsum([len(row.ids) for row in rows])[:-1])


@pytest.fixture(scope="module")
def mixed() -> list[CallRow]:
    """Texts of very different lengths and of all adapters, in no order."""
    order = np.random.default_rng(3).permutation(len(LENGTHS))
    return [text_row(random_ids(LENGTHS[place]), adapter=int(place) % 3) for place in order]


@pytest.mark.parametrize("tokens", [8192, 600, 1])
def test_texts_of_all_tasks_and_lengths_in_one_call(
    v4_folder: Path, v4_oracle: V4Oracle, mixed: list[CallRow], tokens: int
) -> None:
    made = load(v4_folder, tokens=tokens).compute(mixed, ["embeddings", "row_status"])
    expected = [v4_oracle.vector_of_ids(BY_ADAPTER[row.adapter], row.ids) for row in mixed]
    assert_alike(made["embeddings"], np.stack(expected))
    assert made["row_status"].tolist() == [0] * len(mixed)
    assert (made["embeddings"].dtype, made["row_status"].dtype) == (np.float32, np.int32)


@pytest.mark.parametrize("task", FIVE_TASKS)
def test_every_task(v4_embedder: Embedder, v4_oracle: V4Oracle, task: str) -> None:
    texts = ["the quick brown fox", "你好 世界", "def add(a, b): return a + b"]
    rows = [text_row(v4_oracle.ids(task, text), ADAPTER_OF[PROMPTS[task][0]]) for text in texts]
    made = v4_embedder.compute(rows, ["embeddings", "token_vectors"])
    assert_alike(made["embeddings"], np.stack([v4_oracle.vector(task, text) for text in texts]))
    for vectors, text in zip(cut(made["token_vectors"], rows), texts, strict=True):
        assert_alike(vectors, v4_oracle.token_vectors(task, text))


def test_tasks_differ(v4_embedder: Embedder) -> None:
    """Or the tests above would prove nothing."""
    rows = [text_row([5, 6, 7], adapter) for adapter in range(3)]
    vectors = v4_embedder.compute(rows, ["embeddings"])["embeddings"]
    assert max(vectors[one] @ vectors[other] for one, other in ((0, 1), (0, 2), (1, 2))) < 0.9


@pytest.mark.parametrize("tokens", [8192, 300])
def test_images_of_all_sizes_and_tasks_in_one_call(v4_folder: Path, v4_oracle: V4Oracle, tokens: int) -> None:
    files = [image_file(*size, seed=number) for number, size in enumerate(SIZES)]
    rows = [image_row(v4_oracle, file, number % 3) for number, file in enumerate(files)]
    made = load(v4_folder, tokens=tokens).compute(rows, ["embeddings", "token_vectors"])
    expected = [v4_oracle.vector(BY_ADAPTER[row.adapter], file) for row, file in zip(rows, files, strict=True)]
    assert_alike(made["embeddings"], np.stack(expected))
    for row, vectors, file in zip(rows, cut(made["token_vectors"], rows), files, strict=True):
        assert_alike(vectors, v4_oracle.token_vectors(BY_ADAPTER[row.adapter], file))


def test_images_and_texts_of_one_call_are_computed_apart(v4_embedder: Embedder, v4_oracle: V4Oracle) -> None:
    file = image_file(200, 90)
    rows = [text_row(random_ids(9)), image_row(v4_oracle, file, 2), text_row(random_ids(30), 1)]
    made = v4_embedder.compute(rows, ["embeddings"])["embeddings"]
    expected = [
        v4_oracle.vector_of_ids(BY_ADAPTER[0], rows[0].ids),
        v4_oracle.vector(BY_ADAPTER[2], file),
        v4_oracle.vector_of_ids(BY_ADAPTER[1], rows[2].ids),
    ]
    assert_alike(made, np.stack(expected))


def test_a_text_after_an_image_is_read_as_if_there_had_been_none(v4_folder: Path, v4_oracle: V4Oracle) -> None:
    """transformers' model remembers the positions of an image."""
    embedder, text = load(v4_folder), text_row(random_ids(40))
    before = embedder.compute([text], ["embeddings"])["embeddings"]
    embedder.compute([image_row(v4_oracle, image_file(640, 480))], ["embeddings"])
    assert embedder.network.model.rope_deltas is None
    np.testing.assert_array_equal(embedder.compute([text], ["embeddings"])["embeddings"], before)


def test_spans_are_summed_in_their_own_rows(v4_embedder: Embedder, v4_oracle: V4Oracle) -> None:
    rows = [
        text_row(random_ids(50), 1, spans=[(0, 1), (3, 50), (0, 50)]),
        text_row(random_ids(7), 0),
        text_row(random_ids(300), 2, spans=[(299, 300), (10, 200)]),
    ]
    made = v4_embedder.compute(rows, ["span_sums"])
    assert list(made) == ["span_sums"]
    hidden = [v4_oracle._forward(BY_ADAPTER[row.adapter], input_ids=torch.tensor(row.ids[None])) for row in rows]
    expected = [states[a:b].sum(axis=0) for states, row in zip(hidden, rows, strict=True) for a, b in row.spans]
    np.testing.assert_allclose(made["span_sums"], np.stack(expected), atol=1e-3)


def test_only_what_is_asked_for_is_answered(v4_embedder: Embedder) -> None:
    rows = [text_row([1, 2, 3])]
    for wanted in (["row_status"], ["token_vectors", "row_status"], ["embeddings", "span_sums"]):
        assert sorted(v4_embedder.compute(rows, wanted)) == sorted(wanted)
    nothing = v4_embedder.compute([], ["embeddings", "span_sums", "token_vectors", "row_status"])
    assert {name: array.shape for name, array in nothing.items()} == {
        **{"embeddings": (0, 64), "span_sums": (0, 64), "token_vectors": (0, 16), "row_status": (0,)}
    }


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_answers_are_of_unit_length_all_the_same(
    v4_folder: Path, v4_oracle: V4Oracle, dtype: torch.dtype
) -> None:
    rows = [text_row(random_ids(length), adapter) for adapter, length in enumerate((1, 30, 700))]
    embedder = load(v4_folder, dtype=dtype)
    made = embedder.compute([*rows, image_row(v4_oracle, image_file(90, 200))], ["embeddings", "token_vectors"])
    for vectors in made.values():
        assert vectors.dtype == np.float32
        np.testing.assert_allclose(np.linalg.norm(vectors.astype(np.float64), axis=1), 1, atol=1e-6)
    expected = [v4_oracle.vector_of_ids(BY_ADAPTER[row.adapter], row.ids) for row in rows]
    assert (made["embeddings"][:3] * np.stack(expected)).sum(axis=1).min() > 0.995


def test_a_merged_checkpoint(merged_embedder: Embedder, v4_files: dict[str, Path]) -> None:
    from tests.support.v4_oracle import V4Oracle

    oracle = V4Oracle(v4_files[MERGED_V4])
    rows = [text_row(random_ids(length)) for length in (40, 3)]
    made = merged_embedder.compute(rows, ["embeddings", "row_status"])["embeddings"]
    assert_alike(made, np.stack([oracle.vector_of_ids("retrieval.query", row.ids) for row in rows]))
    with pytest.raises(CallError, match="token_vectors needs a projector"):
        merged_embedder.compute(rows, ["token_vectors"])


def test_a_row_of_nan_stays_one_and_harms_no_other(v4_folder: Path) -> None:
    embedder = load(v4_folder)
    clean, broken = text_row([1, 2, 3]), text_row([4, 7, 5])
    before = embedder.compute([clean], ["embeddings"])["embeddings"]
    with torch.inference_mode():
        embedder.network.model.language_model.embed_tokens.weight[7] = float("nan")
    made = embedder.compute([broken, clean], ["embeddings", "row_status"])
    assert np.isnan(made["embeddings"][0]).all()
    np.testing.assert_allclose(made["embeddings"][1:], before, atol=1e-6)
    assert made["row_status"].tolist() == [0, 0]


def test_no_mask_is_ever_made(v4_embedder: Embedder, monkeypatch: pytest.MonkeyPatch, v4_oracle: V4Oracle) -> None:
    """32768 tokens would need one of a gigabyte, and SDPA would leave its causal kernels for it."""
    calls = []
    original = torch.nn.functional.scaled_dot_product_attention

    def watched(*args: object, **kwargs: object) -> torch.Tensor:
        calls.append((kwargs["attn_mask"], kwargs["is_causal"]))
        return original(*args, **kwargs)

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", watched)
    v4_embedder.compute([text_row(random_ids(9)), text_row(random_ids(30))], ["embeddings"])
    assert calls == [(None, True)] * len(v4_embedder.network.model.language_model.layers)
    calls.clear()
    v4_embedder.compute([image_row(v4_oracle, image_file(60, 90))], ["embeddings"])
    assert {mask for mask, _ in calls} == {None}


def test_tasks_are_named_in_the_cards_order() -> None:
    assert [PROMPTS[task][0] for task in BY_ADAPTER] == list(TASKS)
