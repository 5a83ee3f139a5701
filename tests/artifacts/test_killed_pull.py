"""kill -9 in the middle of a pull: whatever lies under a final name is right, and the next pull goes on."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from gateway.artifacts.completeness import is_complete
from gateway.artifacts.hub_access import HubAccess
from gateway.artifacts.pulling import pull
from gateway.artifacts.sources import Fetching, SourceChoice
from gateway.artifacts.verification import verify
from gateway.cards.loading import load_card
from gateway.cards.rendering import config_path, render_config
from gateway.cards.schema import Card
from tests.support.local_hub import LocalHub, local_hub
from tests.support.tiny_bert import TinyModel

MIB = 1 << 20
BIG_PATH = "extra.bin"
BIG = np.random.default_rng(1).bytes(45 * MIB)

PULL = """
import sys
from pathlib import Path
from gateway.artifacts.hub_access import HubAccess
from gateway.artifacts.pulling import pull
from gateway.artifacts.sources import Fetching, SourceChoice
from gateway.cards.loading import load_card
folder, staging, url = sys.argv[1:]
pull(load_card(Path(folder)), Fetching(Path(staging), SourceChoice.HUB, HubAccess(endpoint=url, token="none")))
"""


@pytest.fixture
def model(tmp_path: Path) -> Iterator[tuple[Card, LocalHub]]:
    tiny = TinyModel(extra={BIG_PATH: BIG})
    card = load_card(tiny.write_card(tmp_path / "repository", scratch=tmp_path))
    config_path(card).write_text(render_config(card), encoding="utf-8")
    with local_hub() as hub:
        hub.publish(tiny.hub_id, tiny.published)
        yield card, hub


def killed_at(card: Card, hub: LocalHub, staging: Path, sent_bytes: int) -> None:
    """Start a pull in a process of its own and kill it when the hub has sent about `sent_bytes` of the big file."""
    reached, go_on = threading.Event(), threading.Event()

    def pause(path: str, sent: int) -> None:
        if path == BIG_PATH and sent >= sent_bytes and not reached.is_set():
            reached.set()
            go_on.wait(30)

    hub.pause = pause  # type: ignore[method-assign]
    child = subprocess.Popen([sys.executable, "-c", PULL, str(card.folder), str(staging), hub.url])
    try:
        assert reached.wait(60), "the pull never came that far"
    finally:
        child.kill()
        child.wait()
        go_on.set()
        hub.pause = lambda path, sent: None  # type: ignore[method-assign]


def test_kills_never_leave_a_wrong_file_and_the_next_pull_goes_on(model: tuple[Card, LocalHub], tmp_path: Path) -> None:
    card, hub = model
    staging = tmp_path / "staging"
    right = {file.path: file.sha256 for file in card.files}
    for sent_bytes in (2 * MIB, 15 * MIB, 40 * MIB):
        killed_at(card, hub, staging, sent_bytes)
        assert not is_complete(card)
        for path, sha256 in right.items():
            file = card.path_of(path)
            assert not file.exists() or hashlib.sha256(file.read_bytes()).hexdigest() == sha256
    pull(card, Fetching(staging, SourceChoice.HUB, HubAccess(endpoint=hub.url, token="none")))
    report = verify(card)
    assert report.ok, report.faults
    first_bytes = [int((request.range or "bytes=0-")[6:-1]) for request in hub.downloads(BIG_PATH)]
    assert first_bytes[0] == 0
    assert first_bytes[-1] >= 10 * MIB, "what had arrived was fetched again"
    assert first_bytes == sorted(first_bytes)
    assert [item.name for item in card.path_of("1").iterdir() if item.name.endswith(".incoming")] == []
