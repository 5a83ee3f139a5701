"""Adapters found in a checkpoint and put beside their layers."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from gateway.python_backend import adapters
from gateway.python_backend.adapted_linear import AdaptedLinear
from gateway.python_backend.embedder import Embedder
from gateway.python_backend.faults import LoadError
from tests.python_backend.checkpoints import TASKS, Tensors, copied, load, text_row, with_adapters

ROWS = [text_row([5, 6, 7, 8], adapter) for adapter in range(3)]
LAYER = "base_model.model.model.layers.0.mlp.down_proj"
Change = Callable[[Tensors], Tensors]


@pytest.fixture
def folder(v4_folder: Path, tmp_path: Path) -> Path:
    return copied(v4_folder, tmp_path / "1")


def vectors(embedder: Embedder) -> np.ndarray:
    return embedder.compute(ROWS, ["embeddings"])["embeddings"]


def renamed(old: str, new: str) -> Change:
    return lambda tensors: {name.replace(old, new): value for name, value in tensors.items()}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (".lora_A.", ".lora_A.default."),
        ("base_model.model.", ""),
        ("base_model.model.model.", "base_model.model.model.language_model."),
    ],
)
def test_adapters_by_other_names_are_the_same(folder: Path, v4_embedder: Embedder, old: str, new: str) -> None:
    np.testing.assert_array_equal(vectors(load(with_adapters(folder, renamed(old, new)))), vectors(v4_embedder))


def test_every_layer_of_the_text_model_and_the_projector_have_them(v4_embedder: Embedder) -> None:
    network = v4_embedder.network
    adapted = {name for name, module in network.named_modules() if isinstance(module, AdaptedLinear)}
    assert len(adapted) == 7 * network.model.config.text_config.num_hidden_layers + 1
    assert "multi_vector_projector" in adapted


def test_rows_choose_by_the_order_of_the_parameter(folder: Path, v4_embedder: Embedder) -> None:
    turned = load(folder, tuple(reversed(TASKS)))
    np.testing.assert_allclose(vectors(turned), vectors(v4_embedder)[::-1], atol=1e-6)
    assert np.abs(vectors(turned) - vectors(v4_embedder)).max() > 0.01


@pytest.mark.parametrize(
    "names", [(), TASKS[:2], (*TASKS, "classification"), ("retrieval", "retrieval", "code", "text-matching")]
)
def test_other_tasks_than_the_checkpoints_are_refused(folder: Path, names: Sequence[str]) -> None:
    with pytest.raises(LoadError, match="the checkpoint has adapters for code, retrieval, text-matching"):
        load(folder, names)


def test_a_checkpoint_without_adapters_that_should_have_them(folder: Path) -> None:
    shutil.rmtree(folder / "adapters")
    with pytest.raises(LoadError, match="has adapters for no task; the parameter adapters names code"):
        load(folder)


def test_settings_without_weights(folder: Path) -> None:
    (folder / "adapters" / "adapter_model.safetensors").unlink()
    with pytest.raises(LoadError, match=r"adapters/adapter_model\.safetensors is missing"):
        load(folder)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: {k: v for k, v in t.items() if k != f"{LAYER}.lora_B.code.weight"}, "lacks lora_B of code for"),
        (lambda t: {**t, f"{LAYER}.lora_A.code.weight": torch.ones(4, 97)}, r"has shape \(4, 97\).* \(4, 96\)"),
        (lambda t: {**t, f"{LAYER}.lora_A.code.weight": torch.ones(5, 96)}, r"has shape \(5, 96\).* \(4, 96\)"),
        (lambda t: {**t, f"{LAYER}.lora_B.code.weight": torch.ones(65, 4)}, r"has shape \(65, 4\).* \(64, 4\)"),
        (lambda t: {**t, f"{LAYER}.weight": torch.ones(1)}, "is no adapter's"),
        (lambda t: {**t, f"{LAYER}.lora_A.default.code.weight": torch.ones(4, 96)}, "the same weight"),
        (renamed("layers.0.mlp.down_proj", "layers.9.mlp.down_proj"), "no linear layer"),
        (renamed("layers.0.mlp.down_proj", "norm"), "no linear layer"),
        (renamed("model.layers.0.mlp.down_proj", "visual.blocks.0.mlp.down_proj"), "no linear layer"),
    ],
    ids=["half", "inputs", "rank", "outputs", "base", "twice", "no layer", "no linear", "vision"],
)
def test_adapters_that_do_not_fit_are_refused_by_name(folder: Path, change: Change, words: str) -> None:
    with_adapters(folder, change)
    with pytest.raises(LoadError, match=words):
        load(folder)


def test_a_base_weight_is_shared_with_its_adapted_layer(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bases = []

    class Watched(AdaptedLinear):
        def __init__(self, base: torch.nn.Linear, a: torch.Tensor, b: torch.Tensor) -> None:
            super().__init__(base, a, b)
            bases.append((base.weight, self.weight))

    monkeypatch.setattr(adapters, "AdaptedLinear", Watched)
    load(folder)
    assert bases
    assert all(before is after for before, after in bases)


def test_a_merged_checkpoint_has_none(merged_embedder: Embedder) -> None:
    assert merged_embedder.adapters.tasks == ()
    assert merged_embedder.adapters.choices == 1
    assert not any(isinstance(module, AdaptedLinear) for module in merged_embedder.network.modules())
