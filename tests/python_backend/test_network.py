"""Weights put in their places: each once, none missing, by whichever names; frequencies are float32."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import Qwen2_5_VLModel

from gateway.python_backend.embedder import Embedder
from gateway.python_backend.faults import LoadError
from tests.conftest import MERGED_V4
from tests.python_backend.checkpoints import copied, load, text_row, weights_of, with_weights

ROWS = [text_row([5, 6, 7, 8]), text_row([9, 3])]
Change = Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]


@pytest.fixture
def merged(v4_files: dict[str, Path], tmp_path: Path) -> Path:
    return copied(v4_files[MERGED_V4], tmp_path / "1")


def renamed(*pairs: tuple[str, str]) -> Change:
    def name(key: str) -> str:
        for old, new in pairs:
            if key.startswith(old):
                return new + key.removeprefix(old)
        return key

    return lambda weights: {name(key): value for key, value in weights.items()}


@pytest.mark.parametrize(
    "change",
    [
        renamed(),
        renamed(("model.", "model.language_model."), ("visual.", "model.visual.")),
        renamed(("model.", "language_model.model.")),
        renamed(("model.", "language_model.")),
        lambda weights: {**weights, "lm_head.weight": torch.ones(2, 2)},
    ],
    ids=["published", "newer", "nested", "bare", "with an output layer"],
)
def test_every_layout_gives_the_same(merged: Path, merged_embedder: Embedder, change: Change) -> None:
    again = load(with_weights(merged, change(weights_of(merged))), ())
    for name in ("embeddings",):
        np.testing.assert_array_equal(again.compute(ROWS, [name])[name], merged_embedder.compute(ROWS, [name])[name])


NORM = "model.layers.1.input_layernorm.weight"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda weights: {k: v for k, v in weights.items() if k != NORM},
            r"lacks .*layers\.1\.input_layernorm\.weight",
        ),
        (lambda weights: {**weights, "model.layers.2.bias": torch.ones(1)}, r"does not have: model\.layers\.2\.bias"),
        (
            lambda weights: {**weights, NORM.replace("model.", "model.language_model."): weights[NORM]},
            "the same weight",
        ),
        (lambda weights: {**weights, NORM: torch.ones(65)}, r"has shape \(65,\); by config.json .* \(64,\)"),
        (lambda weights: {k: v for k, v in weights.items() if not k.startswith("visual.")}, "and 49 more"),
    ],
    ids=["missing", "unexpected", "twice", "shape", "many missing"],
)
def test_a_checkpoint_that_does_not_fit_is_refused_by_its_weights_names(
    merged: Path, change: Change, words: str
) -> None:
    with_weights(merged, change(weights_of(merged)))
    with pytest.raises(LoadError, match=words):
        load(merged, ())


@pytest.mark.parametrize(("lost", "words"), [("weight", r"does not have: .*\.bias"), ("bias", r"lacks .*\.bias")])
def test_half_a_projector_is_refused(v4_folder: Path, tmp_path: Path, lost: str, words: str) -> None:
    folder = copied(v4_folder, tmp_path / "1")
    weights = weights_of(folder)
    del weights[f"multi_vector_projector.{lost}"]
    with pytest.raises(LoadError, match=words):
        load(with_weights(folder, weights))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_all_weights_have_the_type_and_no_frequency_has(merged: Path, dtype: torch.dtype) -> None:
    network = load(merged, (), dtype=dtype).network
    assert {parameter.dtype for parameter in network.parameters()} == {dtype}
    assert not any(tensor.is_meta for tensor in (*network.parameters(), *network.buffers()))
    reference = dict(Qwen2_5_VLModel(network.model.config).named_buffers())
    buffers = dict(network.model.named_buffers())
    assert sorted(buffers) == sorted(reference)
    for name, buffer in buffers.items():
        assert buffer.dtype == torch.float32
        assert torch.equal(buffer, reference[name])


def test_both_parts_use_the_kernels_that_were_asked_for(merged_embedder: Embedder) -> None:
    model = merged_embedder.network.model
    assert model.language_model.config._attn_implementation == "sdpa"
    assert model.visual.config._attn_implementation == "sdpa"
    assert not model.training
