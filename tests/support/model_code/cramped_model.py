"""Takes the place of a model's `model.py`: the same model where memory ends beyond `ROOM_TOKENS` at once.

Padding counts. Nothing in the model's own code is replaced; torch itself refuses, as it does on a full GPU.
"""

from typing import Any

import torch
from torch.nn.modules.module import register_module_forward_pre_hook

from gateway.python_backend.serving import TritonPythonModel

__all__ = ["TritonPythonModel"]

ROOM_TOKENS = 1000


def _refuse_many(module: torch.nn.Module, inputs: tuple[Any, ...]) -> None:
    if type(module).__name__ == "Qwen2MLP" and inputs[0].shape[:-1].numel() > ROOM_TOKENS:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")


register_module_forward_pre_hook(_refuse_many)
