"""What the other files here need."""

from __future__ import annotations

import importlib


def test_torch_is_installed() -> None:
    for name in ("torch", "transformers", "safetensors"):
        importlib.import_module(name)
