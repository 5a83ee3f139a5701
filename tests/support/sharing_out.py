"""How several workers of pytest-xdist share the tests out: by file, so that what a file's tests share is made once, and
with it what is costly to make for several files; what waits for installations comes first, so that no worker is left
waiting for it at the end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from xdist.scheduler import LoadScopeScheduling

# One share. Clients' programs run once for the tests of several files; all of these ask the server of the twins or that
# of jina-embeddings-v4, each of which takes 10 to 20 s to make and 1 to 2 GB of memory.
TOGETHER = (
    "tests/clients/",
    "tests/contract/",
    "tests/docs/",
    "tests/integration/",
    "tests/runpod/test_jina_v4.py",
    "tests/scripts/test_script_files.py",
)


def share_of(node_id: str) -> str:
    """What one worker runs as a whole: the test's file, or all of `TOGETHER`."""
    return "together" if node_id.startswith(TOGETHER) else node_id.partition("::")[0]


def in_order(items: Sequence[pytest.Item]) -> list[pytest.Item]:
    """The shares with tests that install packages, which take the longest, before all others."""
    first = {share_of(item.nodeid) for item in items if item.get_closest_marker("network")}
    return sorted(items, key=lambda item: share_of(item.nodeid) not in first)


def scheduler(config: pytest.Config, log: object) -> LoadScopeScheduling:
    """Hands out shares in the order of the tests, to whoever is free."""
    from xdist.scheduler import LoadScopeScheduling

    class ByShare(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return share_of(nodeid)

    return ByShare(config, log)
