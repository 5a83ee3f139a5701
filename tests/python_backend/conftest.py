"""The model's own process, without Triton: checkpoints on disk, and what is loaded from them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gateway.python_backend.options import ServingOptions
from tests.conftest import MERGED_V4, V4, missing_torch, need

if TYPE_CHECKING:
    from gateway.python_backend.embedder import Embedder

# All of them import torch. What stays says by name that it is missing.
collect_ignore_glob = ["test_[!t]*.py"] if missing_torch() else []


@pytest.fixture(scope="session", autouse=True)
def few_threads() -> Iterator[None]:
    need(missing_torch())
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def v4_folder(v4_files: dict[str, Path]) -> Path:
    """Version folder of the main model's twin. Only read it."""
    return v4_files[V4]


@pytest.fixture(scope="session")
def v4_options(v4_folder: Path) -> ServingOptions:
    return ServingOptions(folder=v4_folder, adapters=("retrieval", "text-matching", "code"))


@pytest.fixture(scope="session")
def v4_embedder(v4_options: ServingOptions) -> Embedder:
    from gateway.python_backend.loading import load_embedder
    from gateway.python_backend.placement import place

    return load_embedder(v4_options, place(v4_options))


@pytest.fixture(scope="session")
def merged_embedder(v4_files: dict[str, Path]) -> Embedder:
    from gateway.python_backend.loading import load_embedder
    from gateway.python_backend.placement import place

    options = ServingOptions(folder=v4_files[MERGED_V4])
    return load_embedder(options, place(options))
