"""Where each tensor lies inside a safetensors file, so that an ONNX graph can point at it instead of copying it.

Own code because the safetensors package reads tensors but does not tell their offsets.
Format: 8 bytes little-endian header length, that many bytes of JSON, then the tensors' bytes.
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.errors import ArtifactError

LENGTH_BYTES = 8
# A header of JSON takes some twenty times its size in memory, and a model of thousands of tensors has one of 1 MB. The
# reference implementation's own limit is 100 MB.
MAX_HEADER_BYTES = 16_000_000


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """One tensor of the file. `offset` counts from the start of the file, in bytes."""

    name: str
    data_type: str
    shape: tuple[int, ...]
    offset: int
    length: int


def read_tensors(path: Path) -> dict[str, StoredTensor]:
    """Every tensor of a safetensors file by name.

    Raises `ArtifactError` when the file cannot be read, is no safetensors file or is cut short.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            (header_bytes,) = struct.unpack("<Q", file.read(LENGTH_BYTES))
            if header_bytes > min(MAX_HEADER_BYTES, size - LENGTH_BYTES):
                raise ValueError(f"the header has {header_bytes} bytes, more than the file or than is read")
            header = json.loads(file.read(header_bytes))
        base = LENGTH_BYTES + header_bytes
        tensors = {name: _tensor(name, entry, base) for name, entry in header.items() if name != "__metadata__"}
    except OSError as error:
        raise ArtifactError(f"{path} cannot be read: {error.strerror}.") from error
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError, struct.error) as error:
        raise ArtifactError(f"{path} is not a safetensors file: {error}.") from error
    _check_ranges(path, tensors, size)
    return tensors


def _tensor(name: str, entry: dict[str, Any], base: int) -> StoredTensor:
    start, end = (int(position) for position in entry["data_offsets"])
    if start < 0:
        raise ValueError("a tensor begins in the header")
    shape = tuple(int(size) for size in entry["shape"])
    return StoredTensor(name, str(entry["dtype"]), shape, base + start, end - start)


def _check_ranges(path: Path, tensors: dict[str, StoredTensor], size: int) -> None:
    for tensor in tensors.values():
        if tensor.length < 0 or tensor.offset + tensor.length > size:
            raise ArtifactError(f"{path} is cut short: tensor {tensor.name} ends beyond the file's {size} bytes.")
