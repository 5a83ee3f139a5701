"""Offsets read from a safetensors file point at the tensors' bytes; anything else is refused."""

from __future__ import annotations

import struct
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.artifacts.safetensors_header import MAX_HEADER_BYTES, read_tensors
from gateway.errors import ArtifactError
from tests.support.tiny_bert import random_weights, safetensors_bytes, tiny_config


def test_every_offset_points_at_its_tensor(tmp_path: Path) -> None:
    weights = random_weights(tiny_config())
    data = safetensors_bytes(weights)
    path = tmp_path / "model.safetensors"
    path.write_bytes(data)
    tensors = read_tensors(path)
    assert set(tensors) == set(weights)
    for name, tensor in tensors.items():
        stored = np.frombuffer(data[tensor.offset : tensor.offset + tensor.length], dtype="<f4").reshape(tensor.shape)
        np.testing.assert_array_equal(stored, weights[name])


def test_a_file_that_is_cut_short_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(safetensors_bytes(random_weights(tiny_config()))[:-1])
    with pytest.raises(ArtifactError, match="cut short"):
        read_tensors(path)


@pytest.mark.parametrize(
    "header",
    [b"", b"{", b"[]", b'{"a": 1}', b'{"a": {"dtype": "F32", "shape": [1], "data_offsets": [0]}}', b"\xff"],
)
def test_a_broken_header_is_refused(tmp_path: Path, header: bytes) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(struct.pack("<Q", len(header)) + header)
    with pytest.raises(ArtifactError, match="is not a safetensors file"):
        read_tensors(path)


@given(st.binary(max_size=64))
def test_random_bytes_never_raise_anything_else(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "random.safetensors"
    path.write_bytes(data)
    with suppress(ArtifactError):
        tensors = read_tensors(path)
        assert all(tensor.offset + tensor.length <= len(data) for tensor in tensors.values())


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="cannot be read"):
        read_tensors(tmp_path / "nothing")


@pytest.mark.parametrize(
    "header",
    [
        b'{"a":' * 5000,
        b'{"a": {"dtype": "F32", "shape": [Infinity], "data_offsets": [0, 4]}}',
        b'{"a": {"dtype": "F32", "shape": [1], "data_offsets": [-8, 0]}}',
    ],
)
def test_a_hostile_header_is_refused(tmp_path: Path, header: bytes) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(struct.pack("<Q", len(header)) + header)
    with pytest.raises(ArtifactError, match="is not a safetensors file"):
        read_tensors(path)


def test_a_header_is_not_read_where_it_would_fill_the_memory(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    with path.open("wb") as file:
        file.write(struct.pack("<Q", MAX_HEADER_BYTES + 1))
        file.truncate(MAX_HEADER_BYTES + 100)
    with pytest.raises(ArtifactError, match="more than"):
        read_tensors(path)
