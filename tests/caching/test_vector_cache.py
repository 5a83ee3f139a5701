"""When a vector may be kept, and what a model's identity is made of."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest

from gateway.batching.submission import Outcome
from gateway.caching.meter import SharingMeter
from gateway.caching.shared_rows import Asker, SharedRows
from gateway.caching.stores import CacheOptions, Stores
from gateway.caching.vector_cache import VectorCache, identity_of
from gateway.cards.installation import Installation, LockedFile
from gateway.telemetry.metrics import build_metrics
from gateway.types import TokenRow
from tests.support.tiny_models import tiny_card


@dataclass
class Model:
    """Becomes what `becomes` says while it computes: its precision, and since when it is proved."""

    state: tuple[str, int | None]
    becomes: tuple[str, int | None] | None = None
    computed: int = 0
    stores: Stores = field(default_factory=lambda: Stores(CacheOptions(max_bytes=100_000)))

    async def submit(self, rows: Sequence[TokenRow], *, deadline: float, caller: str = "") -> Outcome:
        self.computed += len(rows)
        self.state = self.becomes or self.state
        return Outcome([np.zeros(8, np.float32) for _ in rows], 0.0, 0.0)

    async def ask(self) -> None:
        cache = VectorCache(
            self.stores,
            identity=b"model",
            size=8,
            precision_of=lambda: self.state[0],
            proved_since=lambda: self.state[1],
        )
        meter = SharingMeter(build_metrics(version="test"), model="any")
        row = TokenRow(np.array([1, 2], dtype=np.int64))
        await SharedRows(self.submit, meter=meter, cache=cache).submit([row], Asker(time.monotonic() + 30))


@pytest.mark.parametrize(
    ("before", "after", "is_kept"),
    [
        (("exact", 1), ("exact", 1), True),
        (("exact", None), ("exact", None), False),
        (("exact", None), ("exact", 1), False),
        (("exact", 1), ("exact", None), False),
        (("exact", 1), ("exact", 2), False),
        (("fast", 1), ("exact", 1), False),
    ],
)
async def test_only_what_was_computed_within_one_proof_and_in_one_precision_is_kept(
    before: tuple[str, int | None], after: tuple[str, int | None], is_kept: bool
) -> None:
    model = Model(before, becomes=after)
    await model.ask()
    model.becomes = None
    for precision, _ in (before, after):
        # Not proved, so that looking keeps nothing.
        model.state, model.computed = (precision, None), 0
        await model.ask()
        assert model.computed == (0 if is_kept else 1)


def test_a_model_of_the_python_backend_is_another_in_another_type(tmp_path: Path) -> None:
    graph = tiny_card(tmp_path)
    python = replace(graph, triton=replace(graph.triton, backend="python"))
    file = LockedFile("any", 1, sha256="0" * 64, source="hub", revision="1", pulled_at="")
    installed = Installation(files={"any": file})
    types = (None, "bfloat16", "float32")
    assert len({identity_of(python, installed, dtype=dtype) for dtype in types}) == 3
    assert len({identity_of(graph, installed, dtype=dtype) for dtype in types}) == 1
