"""Files of weights: which ones are read, and which never."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from gateway.python_backend.checkpoint import read_tensors, stored_tensors, weight_files
from gateway.python_backend.faults import LoadError


def sharded(folder: Path, *names: str) -> None:
    (folder / "model.safetensors.index.json").write_text(
        json.dumps({"weight_map": {f"tensor.{number}": name for number, name in enumerate(names)}})
    )


def test_a_single_file(tmp_path: Path) -> None:
    save_file({"one": torch.ones(2)}, tmp_path / "model.safetensors")
    assert weight_files(tmp_path) == [tmp_path / "model.safetensors"]


def test_shards_are_read_once_each(tmp_path: Path) -> None:
    save_file({"tensor.0": torch.ones(2), "tensor.2": torch.zeros(1)}, tmp_path / "b.safetensors")
    save_file({"tensor.1": torch.full((3, 1), 2.0, dtype=torch.bfloat16)}, tmp_path / "a.safetensors")
    sharded(tmp_path, "b.safetensors", "a.safetensors", "b.safetensors")
    files = weight_files(tmp_path)
    assert [file.name for file in files] == ["a.safetensors", "b.safetensors"]
    stored = stored_tensors(files)
    assert {tensor.key: tensor.shape for tensor in stored} == {"tensor.0": (2,), "tensor.1": (3, 1), "tensor.2": (1,)}
    values = {tensor.key: value.flatten().tolist() for tensor, value in read_tensors(stored)}
    assert values == {"tensor.0": [1, 1], "tensor.1": [2, 2, 2], "tensor.2": [0]}


@pytest.mark.parametrize(
    "name", ["../other/a.safetensors", "/etc/a.safetensors", "in/a.safetensors", "..", "a\\b.safetensors", "a.bin"]
)
def test_a_file_elsewhere_or_of_another_kind_is_refused(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "1"
    folder.mkdir()
    sharded(folder, name)
    with pytest.raises(LoadError, match="no safetensors file of its own folder"):
        weight_files(folder)


def test_pickles_are_not_looked_at(tmp_path: Path) -> None:
    torch.save({"one": torch.ones(1)}, tmp_path / "pytorch_model.bin")
    with pytest.raises(LoadError, match=r"neither model\.safetensors nor"):
        weight_files(tmp_path)


def test_a_missing_shard_is_named(tmp_path: Path) -> None:
    sharded(tmp_path, "gone.safetensors")
    with pytest.raises(LoadError, match=r"gone\.safetensors is missing"):
        weight_files(tmp_path)


def test_an_index_without_weights(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors.index.json").write_text("{}")
    with pytest.raises(LoadError, match="names no weights"):
        weight_files(tmp_path)


def test_a_damaged_file(tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    save_file({"one": torch.ones(100)}, file)
    file.write_bytes(file.read_bytes()[:-8])
    with pytest.raises(LoadError, match="no readable safetensors file"):
        stored_tensors([file])


@pytest.mark.parametrize("dtype", [torch.int8, torch.float8_e4m3fn])
def test_quantised_weights_are_refused(tmp_path: Path, dtype: torch.dtype) -> None:
    save_file({"one": torch.ones(4).to(dtype)}, tmp_path / "model.safetensors")
    with pytest.raises(LoadError, match="only plain floats"):
        stored_tensors([tmp_path / "model.safetensors"])
