"""A very long row: its memory grows with its length, not with the square of it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from gateway.python_backend.embedder import Embedder
from tests.python_backend.checkpoints import text_row

TOKENS = 20000
BEGINNING = 500
# A mask alone would take 400 MB, and attention's weights 1.6 GB a head.
MOST_BYTES = 300_000_000


def anonymous_bytes() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon"))


@contextmanager
def memory_readings() -> Iterator[list[int]]:
    """How much more anonymous memory this process has than before, read all the while."""
    before, readings, done = anonymous_bytes(), [0], threading.Event()

    def watch() -> None:
        while not done.wait(0.005):
            readings.append(anonymous_bytes() - before)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield readings
    finally:
        done.set()
        watcher.join()


def test_a_very_long_row(v4_embedder: Embedder) -> None:
    """Its beginning is computed as if there were nothing behind: attention is causal."""
    ids = np.random.default_rng(7).integers(0, 540, TOKENS)
    with memory_readings() as readings:
        made = v4_embedder.compute(
            [text_row(ids, 1, spans=[(0, BEGINNING)])], ["embeddings", "span_sums", "row_status"]
        )
    assert len(readings) > 20
    assert max(readings) < MOST_BYTES
    assert made["row_status"].tolist() == [0]
    np.testing.assert_allclose(np.linalg.norm(made["embeddings"]), 1, atol=1e-6)
    beginning = v4_embedder.compute([text_row(ids[:BEGINNING], 1, spans=[(0, BEGINNING)])], ["span_sums"])
    np.testing.assert_allclose(made["span_sums"], beginning["span_sums"], atol=1e-2)
