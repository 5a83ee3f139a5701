"""Where a model computes, in which type, and by which attention kernels."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

import torch
from transformers.utils import is_flash_attn_2_available

from gateway.python_backend.faults import LoadError
from gateway.python_backend.memory import limit_share
from gateway.python_backend.options import ServingOptions

# Older GPUs have no kernels of FlashAttention 2.
_FLASH_CAPABILITY = (8, 0)

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Placement:
    """`device` is a `torch.device`, `dtype` a `torch.dtype`; `attention` is transformers' word for the kernels."""

    device: Any
    dtype: Any
    attention: str = "sdpa"


def place(options: ServingOptions) -> Placement:
    """Settles device, type and kernels, and limits the share of the device's memory.

    Raises `LoadError` where Triton gives the model a GPU that PyTorch cannot use.
    """
    device = _device(options)
    dtype = getattr(torch, options.dtype or ("bfloat16" if options.on_gpu else "float32"))
    if dtype == torch.float16:
        logger.warning(
            "float16 can overflow in this model; bfloat16 is what it was trained in. NaN is answered as such."
        )
    if dtype == torch.float32:
        # The convolution that reads images would otherwise round to 10 bits on a GPU.
        torch.backends.cudnn.allow_tf32 = False
    limit_share(device, options.gpu_memory_utilization)
    return Placement(device, dtype, _attention(device, dtype))


def _device(options: ServingOptions) -> Any:
    if not options.on_gpu:
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise LoadError(
            "Triton gives this model a GPU that PyTorch cannot use: the PyTorch installed here is built for CPUs, or "
            "does not fit the driver. Install the one for this driver's CUDA, or set instance_kind to KIND_CPU."
        )
    return torch.device("cuda", options.gpu)


def _attention(device: Any, dtype: Any) -> str:
    """FlashAttention 2 where it is installed and has kernels. It spares the vision tower a call for each window."""
    usable = device.type == "cuda" and dtype != torch.float32 and is_flash_attn_2_available()
    if usable and torch.cuda.get_device_capability(device) >= _FLASH_CAPABILITY:
        return "flash_attention_2"
    return "sdpa"
