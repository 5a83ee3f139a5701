"""What `gateway doctor` says of torch and of the memory of models that compute with it, those of the Python backend."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Sequence

import psutil

from gateway.cards.schema import Card
from gateway.cli.health_check import Check
from gateway.cli.torch_presence import (
    INSTALL,
    PACKAGES,
    computes_on_gpu,
    free_gpu_bytes,
    missing_packages,
    weight_bytes,
)
from gateway.triton.embedded.python_models import torch_computes_on_gpus

GIGABYTE = 1e9


def torch_checks(cards: Sequence[Card], *, dtype: str | None, is_start_possible: bool) -> list[Check]:
    """`cards` are models of the Python backend whose files are there. Without any, torch is an offer; and so it is
    where another model can be served."""
    missing = missing_packages()
    if missing:
        finding = f"not installed: {', '.join(missing)}; models of Triton's Python backend need it"
        return [Check("torch", ok=is_start_possible or not cards, finding=finding, remedy=INSTALL)]
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in PACKAGES)
    on_gpu = computes_on_gpu()
    return [
        Check("torch", ok=True, finding=f"{versions}; {_device(on_gpu)}"),
        *(_memory(card, dtype, on_gpu) for card in cards),
    ]


def _device(on_gpu: bool) -> str:
    if on_gpu:
        return "computes on a GPU"
    built = "no GPU is to be seen" if torch_computes_on_gpus() else "this build has no CUDA"
    return f"computes on the CPU: {built}"


def _memory(card: Card, dtype: str | None, on_gpu: bool) -> Check:
    name, needed = f"memory of {card.name}", weight_bytes(card, dtype=dtype)
    free = free_gpu_bytes() if on_gpu else psutil.virtual_memory().available
    weights = f"weights of {needed / GIGABYTE:.1f} GB in {dtype or ('bfloat16' if on_gpu else 'float32')}"
    if free is None:
        return Check(name, ok=True, finding=f"{weights}; how much the GPU has free is not known")
    finding = f"{weights}, {free / GIGABYTE:.1f} GB free" + (" on the GPU" if on_gpu else "")
    smaller = "" if on_gpu else ", or set GATEWAY_DTYPE=bfloat16, which halves them"
    remedy = f"End other programs{smaller}; or leave it out with GATEWAY_MODELS."
    return Check(name, ok=needed <= free, finding=finding, remedy=None if needed <= free else remedy)
