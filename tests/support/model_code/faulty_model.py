"""Takes the place of a model's `model.py`: the same model with faults of a device, to order.

There is no memory for more than `ROOM_TOKENS` at once, padding counted, and a row with `POISON` in it comes out as NaN.
Nothing of the model's own code is replaced: PyTorch itself refuses, and gives the NaN.
"""

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook

from gateway.python_backend.serving import TritonPythonModel

__all__ = ["TritonPythonModel"]

ROOM_TOKENS = 1000
POISON = "<|fim_prefix|>"

_POISON_ID = Tokenizer.from_file(str(Path(__file__).with_name("tokenizer.json"))).token_to_id(POISON)


def _refuse_many(module: torch.nn.Module, inputs: tuple[Any, ...]) -> None:
    if type(module).__name__ == "Qwen2MLP" and inputs[0].shape[:-1].numel() > ROOM_TOKENS:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")


def _poison(module: torch.nn.Module, inputs: tuple[Any, ...], output: Any) -> Any:
    if not isinstance(module, torch.nn.Embedding):
        return None
    return output.masked_fill((inputs[0] == _POISON_ID).unsqueeze(-1), torch.nan)


register_module_forward_pre_hook(_refuse_many)
register_module_forward_hook(_poison)
