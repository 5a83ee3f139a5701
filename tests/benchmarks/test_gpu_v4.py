"""The parts of the GPU benchmark that need no GPU, on a tiny model: what it loads, counts and makes of times."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch.nn.attention import SDPBackend, sdpa_kernel  # noqa: E402
from torch.utils.flop_counter import FlopCounterMode  # noqa: E402

from benchmarks import gpu_v4, v4_checkpoint  # noqa: E402
from benchmarks.v4_checkpoint import FULL_SIZE, TASKS, TINY_SIZE, shapes_of, write_checkpoint  # noqa: E402
from benchmarks.v4_speed import (  # noqa: E402
    CALL_TOKENS,
    Workload,
    figure,
    image_workload,
    measured,
    text_workload,
)
from benchmarks.v4_work import image_operations, text_operations  # noqa: E402
from gateway.errors import ConfigurationError  # noqa: E402
from gateway.python_backend.embedder import Embedder  # noqa: E402
from gateway.python_backend.loading import load_embedder  # noqa: E402
from gateway.python_backend.network_config import read_network_config  # noqa: E402
from gateway.python_backend.options import ServingOptions  # noqa: E402
from gateway.python_backend.placement import place  # noqa: E402

RANK = 4
ADAPTER_RANK = RANK * len(TASKS)


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def embedder(tmp_path_factory: pytest.TempPathFactory) -> Embedder:
    """Loaded by the code that Triton runs, from files that the benchmark wrote, in several shards."""
    folder = tmp_path_factory.mktemp("checkpoint") / "1"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(v4_checkpoint, "SHARD_BYTES", 20_000)
        write_checkpoint(folder, TINY_SIZE, rank=RANK)
    assert len(list(folder.glob("model-*.safetensors"))) > 1
    options = ServingOptions(folder, adapters=TASKS, dtype="float32")
    return load_embedder(options, place(options))


def config(embedder: Embedder) -> Any:
    return embedder.network.model.config


def counted(embedder: Embedder, workload: Workload) -> int:
    """PyTorch's own count of the operations that one call takes; it knows adding in place by no name of its own, and
    attention by its plain products only."""
    in_place = {torch.ops.aten.addmm_: lambda _, one, other, *, out_shape, **__: 2 * one[0] * one[1] * other[1]}
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False, custom_mapping=in_place) as counter:
        embedder.compute(workload.rows, ["embeddings"])
    return int(counter.get_total_flops())


def test_the_full_size_is_the_published_one(tmp_path: Path) -> None:
    """3,934,695,552 parameters are published; the adapters among them are computed from their rank."""
    (tmp_path / "config.json").write_text(json.dumps(FULL_SIZE))
    shapes = shapes_of(read_network_config(tmp_path / "config.json"))
    assert shapes.weight_count + shapes.adapter_count == 3_934_695_552


@pytest.mark.parametrize("tokens", [1, 7, 64])
def test_operations_of_texts_are_as_pytorch_counts_them_but_for_the_half_that_causality_spares(
    embedder: Embedder, tokens: int
) -> None:
    workload = text_workload(config(embedder), tokens=tokens, call_tokens=128, adapter_rank=ADAPTER_RANK)
    text = config(embedder).text_config
    spared = len(workload.rows) * text.num_hidden_layers * 4 * text.hidden_size * (tokens * (tokens - 1) // 2)
    assert counted(embedder, workload) == workload.operations + spared


@pytest.mark.parametrize("sides", [(56, 56), (112, 224), (140, 196)])
def test_operations_of_images_are_as_pytorch_counts_them(embedder: Embedder, sides: tuple[int, int]) -> None:
    """Windows at the edges are smaller where the image is no multiple of them."""
    workload = image_workload(config(embedder), sides=sides, call_tokens=200, adapter_rank=ADAPTER_RANK)
    text, length = config(embedder).text_config, len(workload.rows[0].ids)
    spared = len(workload.rows) * text.num_hidden_layers * 4 * text.hidden_size * (length * (length - 1) // 2)
    # A convolution over each patch as a whole, of which PyTorch counts the same product.
    assert counted(embedder, workload) == workload.operations + spared


def test_operations_of_the_full_size_are_twice_its_weights_a_token(tmp_path: Path) -> None:
    """Of short texts, where attention is little: each weight of the layers is used once a token."""
    (tmp_path / "config.json").write_text(json.dumps(FULL_SIZE))
    full = read_network_config(tmp_path / "config.json")
    shapes = shapes_of(full)
    layers = sum(np.prod(shape) for name, shape in shapes.weights.items() if ".layers." in name and len(shape) == 2)
    adapters = sum(np.prod(shape) for name, shape in shapes.adapters.items() if "projector" not in name)
    operations = text_operations(full, [1], adapter_rank=v4_checkpoint.RANK * len(TASKS))
    assert operations == pytest.approx(2 * (layers + adapters), rel=1e-3)


def test_an_image_takes_the_tower_and_its_tokens(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(FULL_SIZE))
    full = read_network_config(tmp_path / "config.json")
    both = image_operations(full, [(48, 64)], prompt_tokens=12, adapter_rank=96)
    tower = both - text_operations(full, [768 + 12], adapter_rank=96)
    weights = sum(np.prod(shape) for name, shape in shapes_of(full).weights.items() if ".blocks." in name)
    assert tower > 2 * 3072 * weights


@pytest.mark.parametrize("kind", ["text", "images"])
def test_a_workload_is_computed_and_comes_to_a_figure(embedder: Embedder, kind: str) -> None:
    if kind == "text":
        workload = text_workload(config(embedder), tokens=16, call_tokens=64, adapter_rank=ADAPTER_RANK)
    else:
        workload = image_workload(config(embedder), sides=(56, 84), call_tokens=64, adapter_rank=ADAPTER_RANK)
    found = measured(embedder, workload, repeats=2, ceiling=1e12)
    assert (found.rows, found.tokens) == (len(workload.rows), workload.tokens)
    assert found.lowest_seconds <= found.median_seconds <= found.highest_seconds
    assert {row.adapter for row in workload.rows} == set(range(min(3, len(workload.rows))))


def test_images_of_the_benchmark_have_768_tokens(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(FULL_SIZE))
    workload = image_workload(read_network_config(tmp_path / "config.json"), adapter_rank=96)
    assert workload.name == "images, 768 tokens"
    assert workload.tokens <= CALL_TOKENS
    assert len(workload.rows) == 10


def test_rates_are_those_of_the_median_call() -> None:
    workload = Workload("one", (), operations=10**12)
    found = figure(workload, [4.0, 1.0, 2.0], ceiling=2e12)
    assert (found.median_seconds, found.lowest_seconds, found.highest_seconds) == (2.0, 1.0, 4.0)
    assert (found.operations_per_second, found.share) == (5e11, 0.25)


def test_vectors_that_are_wrong_are_no_result(embedder: Embedder, monkeypatch: pytest.MonkeyPatch) -> None:
    workload = text_workload(config(embedder), tokens=4, call_tokens=8, adapter_rank=ADAPTER_RANK)
    monkeypatch.setattr(Embedder, "compute", lambda *_: {"embeddings": np.full((2, 64), np.nan, np.float32)})
    with pytest.raises(ValueError, match="unit length"):
        measured(embedder, workload, repeats=1, ceiling=1.0)


def test_without_a_gpu_it_says_so_and_how_to_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(sys, "argv", ["gpu_v4"])
    with pytest.raises(ConfigurationError, match="PyTorch sees none here") as refused:
        gpu_v4.main()
    for way_on in ("scripts/install_torch.sh", "docs/gpu.md", "--tiny"):
        assert way_on in (refused.value.remedy or "")


def test_the_whole_command_on_a_tiny_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "figures.json"
    monkeypatch.setattr(sys, "argv", ["gpu_v4", "--tiny", "--repeats", "2", "--json", str(file)])
    assert gpu_v4.main() == 0
    found = json.loads(file.read_text())
    head, *told = capsys.readouterr().out.splitlines()
    assert found["machine"]["device"] in head
    assert found["machine"]["gpu"] is None
    names = [one["name"] for one in found["figures"]]
    assert names == ["text, 64 tokens", "text, 512 tokens", "images, 6 tokens"]
    assert [line.partition(":")[0] for line in told] == names
    assert set(found["bytes_at_most_beside_the_weights"]) == set(names)
    for figures in (found, *found["figures"]):
        numbers = [value for value in figures.values() if isinstance(value, float)]
        assert all(np.isfinite(value) and value > 0 for value in numbers), figures
    assert [one["tokens"] for one in found["figures"]] == [512, 512, 504]
