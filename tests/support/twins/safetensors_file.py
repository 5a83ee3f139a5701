"""Writes safetensors files, bfloat16 included, which NumPy has no type for; so that a twin needs no torch."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping

import numpy as np

BFLOAT16, FLOAT32 = "BF16", "F32"


def as_bfloat16(array: np.ndarray) -> np.ndarray:
    """float32 values rounded to the nearest that bfloat16 has, ties to even."""
    bits = np.ascontiguousarray(array, np.float32).view(np.uint32)
    rounded = bits + 0x7FFF + ((bits >> 16) & 1)
    return (rounded & np.uint32(0xFFFF0000)).view(np.float32)


def safetensors_file(tensors: Mapping[str, np.ndarray], kind: str = FLOAT32) -> bytes:
    """A file of float32 arrays by name. As `BFLOAT16` they have to be rounded already; the upper halves are kept."""
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    body = bytearray()
    for name, array in tensors.items():
        data = _bytes(array, kind)
        offsets = [len(body), len(body) + len(data)]
        header[name] = {"dtype": kind, "shape": list(array.shape), "data_offsets": offsets}
        body += data
    written = json.dumps(header, separators=(",", ":")).encode()
    written += b" " * (-len(written) % 8)
    return struct.pack("<Q", len(written)) + written + bytes(body)


def _bytes(array: np.ndarray, kind: str) -> bytes:
    plain = np.ascontiguousarray(array, np.float32)
    if kind == FLOAT32:
        return plain.tobytes()
    bits = plain.view(np.uint32)
    if (bits & 0xFFFF).any():
        raise ValueError("An array is to be written as bfloat16 but has not been rounded to it.")
    return (bits >> 16).astype("<u2").tobytes()
