"""A linear layer with the adapters of all tasks side by side, of which each row of a forward chooses one.

The choice is a mask that is multiplied in, not a switch: rows of different tasks share a forward, and no module holds
anything that outlives it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from torch import nn
from torch.nn.functional import linear, one_hot

_CHOICE: ContextVar[Any] = ContextVar("row_choice")


class AdaptedLinear(nn.Module):  # type: ignore[misc]  # torch is not looked into
    """W x + b + B (mask * A x), with the A and B of all tasks concatenated along their rank.

    `base` is the `nn.Linear` whose parameters are shared, not copied. `lora_a` is [tasks * rank, inputs], `lora_b`
    [outputs, tasks * rank].
    """

    def __init__(self, base: Any, lora_a: Any, lora_b: Any) -> None:
        super().__init__()
        self.weight = base.weight
        self.bias = base.bias
        self.lora_a = nn.Parameter(lora_a, requires_grad=False)
        self.lora_b = nn.Parameter(lora_b, requires_grad=False)

    def forward(self, values: Any) -> Any:
        """[rows, tokens, inputs] to [rows, tokens, outputs], each row by its own adapter."""
        outputs = linear(values, self.weight, self.bias)
        lowered = linear(values, self.lora_a) * _CHOICE.get()
        # Added in place: for 32768 tokens a second array of the widest layer would take 700 MB.
        outputs.view(-1, outputs.shape[-1]).addmm_(lowered.view(-1, lowered.shape[-1]), self.lora_b.t())
        return outputs


@contextmanager
def chosen_adapters(mask: Any) -> Iterator[None]:
    """Within it every `AdaptedLinear` uses `mask`, of which the first dimension is that of its rows."""
    token = _CHOICE.set(mask)
    try:
        yield
    finally:
        _CHOICE.reset(token)


def row_mask(adapters: Sequence[int], *, tasks: int, rank: int, scaling: float, like: Any) -> Any:
    """[rows, 1, tasks * rank]: the scaling at the places of each row's own adapter, 0 at the others', in the type and
    on the device of the tensor `like`."""
    chosen = one_hot(torch.tensor(list(adapters)), tasks).repeat_interleave(rank, dim=1).unsqueeze(1)
    return (chosen * scaling).to(device=like.device, dtype=like.dtype)
