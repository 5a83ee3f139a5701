"""The device's memory ends during a call: less at once, the row that does not fit marked, the next call unharmed."""

from __future__ import annotations

import gc
import logging
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch

from gateway.python_backend import embedder as embedder_module
from gateway.python_backend import memory
from gateway.python_backend.call_rows import CallRow
from gateway.python_backend.embedder import Embedder
from tests.python_backend.checkpoints import text_row

ALL = ["embeddings", "span_sums", "token_vectors", "row_status"]
ROWS = [text_row(np.arange(1, length + 1), length % 3, spans=[(0, 1)]) for length in (3, 40, 8, 8, 21, 5)]
BIGGEST = 1


@pytest.fixture(autouse=True, scope="module")
def quick_collections() -> None:
    """Every release looks for what nothing refers to; a whole session's objects need not be among it."""
    gc.freeze()


@contextmanager
def room_for(tokens: int, error: Callable[[], Exception], patch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Forwards of more padded tokens fail, after taking memory of their own; gives the sizes of all that were tried."""
    tried: list[int] = []
    original = embedder_module.text_states

    def limited(model: Any, rows: Sequence[CallRow]) -> Any:
        tried.append(len(rows) * max(len(row.ids) for row in rows))
        if tried[-1] > tokens:
            raise error()
        return original(model, rows)

    with patch.context() as patched:
        patched.setattr(embedder_module, "text_states", limited)
        yield tried


def device_error() -> Exception:
    return torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")


ERRORS = [
    device_error,
    MemoryError,
    lambda: RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    lambda: RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 99 bytes."),
]


@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize("tokens", [40, 100])
def test_less_is_computed_at_once_and_all_is_answered(
    v4_embedder: Embedder, monkeypatch: pytest.MonkeyPatch, error: Callable[[], Exception], tokens: int
) -> None:
    expected = v4_embedder.compute(ROWS, ALL)
    with room_for(tokens, error, monkeypatch) as tried:
        made = v4_embedder.compute(ROWS, ALL)
    assert tried[0] > tokens
    # Rows go on sharing forwards, as many as fit.
    assert sum(size <= tokens for size in tried) < len(ROWS)
    assert made["row_status"].tolist() == [0] * len(ROWS)
    for name in ALL:
        np.testing.assert_allclose(made[name], expected[name], atol=1e-4)


def test_what_did_not_fit_is_not_tried_again(v4_embedder: Embedder, monkeypatch: pytest.MonkeyPatch) -> None:
    with room_for(50, device_error, monkeypatch) as tried:
        v4_embedder.compute(ROWS, ALL)
    failed = [size for size in tried if size > 50]
    assert failed == sorted(set(failed), reverse=True)


def test_a_row_that_does_not_fit_alone_is_marked_and_zero_and_the_others_are_not(
    v4_embedder: Embedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = v4_embedder.compute(ROWS, ALL)
    with room_for(39, device_error, monkeypatch):
        made = v4_embedder.compute(ROWS, ALL)
    status = [int(number == BIGGEST) for number in range(len(ROWS))]
    assert made["row_status"].tolist() == status
    lengths = [len(row.ids) for row in ROWS]
    for name, counts in (("embeddings", [1] * len(ROWS)), ("span_sums", [1] * len(ROWS)), ("token_vectors", lengths)):
        for number, (own, whole) in enumerate(
            zip(
                np.split(made[name], np.cumsum(counts)[:-1]),
                np.split(expected[name], np.cumsum(counts)[:-1]),
                strict=True,
            )
        ):
            np.testing.assert_allclose(own, whole if number != BIGGEST else np.zeros_like(whole), atol=1e-4)


def test_the_next_call_is_computed_as_ever(v4_embedder: Embedder, monkeypatch: pytest.MonkeyPatch) -> None:
    before = v4_embedder.compute(ROWS, ALL)
    with room_for(0, device_error, monkeypatch):
        assert v4_embedder.compute(ROWS, ALL)["row_status"].tolist() == [1] * len(ROWS)
    with room_for(10**6, device_error, monkeypatch) as tried:
        after = v4_embedder.compute(ROWS, ALL)
    assert len(tried) == 1
    for name in ALL:
        np.testing.assert_array_equal(after[name], before[name])


def test_memory_is_given_back_when_nothing_holds_the_failed_forward_any_more(
    v4_embedder: Embedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error's traceback does, as long as it is being handled."""
    held: list[weakref.ref[torch.Tensor]] = []
    alive_at_release: list[bool] = []

    def failing(model: Any, rows: Sequence[CallRow]) -> Any:
        taken = torch.zeros(100)
        held.append(weakref.ref(taken))
        raise device_error()

    monkeypatch.setattr(embedder_module, "text_states", failing)
    monkeypatch.setattr(memory, "release", lambda device: alive_at_release.append(held[-1]() is not None))
    v4_embedder.compute(ROWS[:1], ALL)
    assert alive_at_release == [False]


@pytest.mark.parametrize("error", [RuntimeError("shapes do not fit"), ValueError("out of memory in words only")])
def test_any_other_error_is_no_lack_of_memory(
    v4_embedder: Embedder, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    with room_for(0, lambda: error, monkeypatch), pytest.raises(type(error)):
        v4_embedder.compute(ROWS, ALL)


def test_the_log_says_so_without_any_input(
    v4_embedder: Embedder, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with room_for(39, device_error, monkeypatch), caplog.at_level(logging.WARNING):
        v4_embedder.compute(ROWS, ALL)
    assert caplog.messages[0] == "Out of memory with 6 rows of up to 40 tokens; going on with less."


def test_a_share_is_of_a_gpu_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    shares: list[tuple[float, Any]] = []
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", lambda *given: shares.append(given))
    memory.limit_share(torch.device("cpu"), 0.5)
    memory.limit_share(torch.device("cuda", 1), None)
    memory.limit_share(torch.device("cuda", 1), 0.5)
    assert shares == [(0.5, torch.device("cuda", 1))]
