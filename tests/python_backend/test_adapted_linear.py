"""One layer for rows of several tasks, beside the layer with each task's adapter folded in."""

from __future__ import annotations

import threading

import pytest
import torch
from torch import nn

from gateway.python_backend.adapted_linear import AdaptedLinear, chosen_adapters, row_mask

TASKS, RANK, SCALING, INPUTS, OUTPUTS = 3, 4, 1.5, 10, 6


def parts(seed: int = 0) -> tuple[nn.Linear, torch.Tensor, torch.Tensor]:
    dice = torch.Generator().manual_seed(seed)
    base = nn.Linear(INPUTS, OUTPUTS).requires_grad_(False)
    return (
        base,
        torch.randn(TASKS * RANK, INPUTS, generator=dice),
        torch.randn(OUTPUTS, TASKS * RANK, generator=dice),
    )


def mask(adapters: list[int]) -> torch.Tensor:
    return row_mask(adapters, tasks=TASKS, rank=RANK, scaling=SCALING, like=torch.zeros(1))


def folded(base: nn.Linear, a: torch.Tensor, b: torch.Tensor, task: int) -> torch.Tensor:
    own = slice(task * RANK, (task + 1) * RANK)
    return base.weight + SCALING * b[:, own] @ a[own]


@pytest.mark.parametrize("adapters", [[0], [2, 0, 1], [1, 1, 2, 0, 2]])
def test_each_row_takes_its_own(adapters: list[int]) -> None:
    base, a, b = parts()
    values = torch.randn(len(adapters), 5, INPUTS)
    with torch.inference_mode(), chosen_adapters(mask(adapters)):
        made = AdaptedLinear(base, a, b)(values)
    for row, task in enumerate(adapters):
        torch.testing.assert_close(made[row], values[row] @ folded(base, a, b, task).T + base.bias)


def test_a_mask_holds_the_scaling_at_the_own_adapter_alone() -> None:
    assert mask([1, 0]).tolist() == [[[0.0] * 4 + [1.5] * 4 + [0.0] * 4], [[1.5] * 4 + [0.0] * 8]]


def test_no_choice_outlives_its_forward() -> None:
    layer = AdaptedLinear(*parts())
    with torch.inference_mode():
        with pytest.raises(ZeroDivisionError), chosen_adapters(mask([0])):
            raise ZeroDivisionError
        with pytest.raises(LookupError):
            layer(torch.randn(1, 2, INPUTS))


def test_threads_choose_for_themselves() -> None:
    layer, values = AdaptedLinear(*parts()), torch.randn(1, 2, INPUTS)
    made: dict[int, torch.Tensor] = {}
    together = threading.Barrier(TASKS)

    def run(task: int) -> None:
        with torch.inference_mode(), chosen_adapters(mask([task])):
            together.wait()
            made[task] = layer(values)
            together.wait()

    threads = [threading.Thread(target=run, args=(task,)) for task in range(TASKS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for task in range(TASKS):
        with torch.inference_mode(), chosen_adapters(mask([task])):
            torch.testing.assert_close(made[task], layer(values))
