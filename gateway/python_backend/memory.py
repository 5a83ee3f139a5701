"""The device's memory: how much of it a model may take, how its end is told from other errors, and its release."""

from __future__ import annotations

import gc
from typing import Any

import torch

# Libraries that allocate by themselves, and the CPU's allocator, tell it in words only.
_WORDS = ("out of memory", "CUBLAS_STATUS_ALLOC_FAILED", "CUDNN_STATUS_ALLOC_FAILED", "can't allocate memory")


def limit_share(device: Any, share: float | None) -> None:
    """Lets this process take no more than `share`, from 0 to 1, of a GPU's memory."""
    if share is not None and device.type == "cuda":
        torch.cuda.set_per_process_memory_fraction(share, device)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether less work at once may succeed where this failed."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _WORDS)


def release(device: Any) -> None:
    """Gives what nothing refers to any more back to the device. Call it outside of the `except` block: the error's
    traceback holds on to the tensors of the forward that failed."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
