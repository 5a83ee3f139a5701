"""Device, type and kernels."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from gateway.python_backend import placement
from gateway.python_backend.faults import LoadError
from gateway.python_backend.options import ServingOptions
from gateway.python_backend.placement import Placement, place

ON_CPU = ServingOptions(folder=Path("1"))
ON_GPU = replace(ON_CPU, on_gpu=True, gpu=1)


@pytest.fixture
def a_gpu(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """As if there were one, with FlashAttention installed."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    monkeypatch.setattr(placement, "is_flash_attn_2_available", lambda: True)
    return monkeypatch


def test_a_cpu_computes_in_float32() -> None:
    assert place(ON_CPU) == Placement(torch.device("cpu"), torch.float32, "sdpa")
    assert place(replace(ON_CPU, dtype="bfloat16")).dtype == torch.bfloat16


def test_a_gpu_computes_in_bfloat16_with_the_fastest_kernels(a_gpu: pytest.MonkeyPatch) -> None:
    assert place(ON_GPU) == Placement(torch.device("cuda", 1), torch.bfloat16, "flash_attention_2")


def test_flash_attention_has_no_kernels_for_float32_or_older_gpus(a_gpu: pytest.MonkeyPatch) -> None:
    assert place(replace(ON_GPU, dtype="float32")).attention == "sdpa"
    a_gpu.setattr(torch.cuda, "get_device_capability", lambda device: (7, 5))
    assert place(ON_GPU).attention == "sdpa"


def test_without_flash_attention_a_gpu_takes_sdpa(a_gpu: pytest.MonkeyPatch) -> None:
    a_gpu.setattr(placement, "is_flash_attn_2_available", lambda: False)
    assert place(ON_GPU).attention == "sdpa"


def test_a_share_of_the_gpu_is_kept_to(a_gpu: pytest.MonkeyPatch) -> None:
    shares: list[tuple[float, torch.device]] = []
    a_gpu.setattr(torch.cuda, "set_per_process_memory_fraction", lambda *given: shares.append(given))
    place(replace(ON_GPU, gpu_memory_utilization=0.5))
    assert shares == [(0.5, torch.device("cuda", 1))]


def test_a_gpu_that_pytorch_cannot_use_is_said_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(LoadError, match="PyTorch cannot use"):
        place(ON_GPU)


@pytest.mark.parametrize(("dtype", "warned"), [("float16", True), ("bfloat16", False), (None, False)])
def test_float16_is_warned_of(caplog: pytest.LogCaptureFixture, dtype: str | None, warned: bool) -> None:
    with caplog.at_level(logging.WARNING):
        place(replace(ON_CPU, dtype=dtype))
    assert ("float16 can overflow" in caplog.text) is warned
