"""Ways of a twin's files to a test: onto the local hub, or into a folder."""

from __future__ import annotations

from pathlib import Path

from tests.support.local_hub import LocalHub
from tests.support.twins.twin import Twin


def publish(hub: LocalHub, twin: Twin) -> None:
    hub.publish(twin.repository, dict(twin.files))


def write(twin: Twin, folder: Path) -> Path:
    """Write all files under `folder`, which may exist; returns it."""
    for path, data in twin.files.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
    return folder
