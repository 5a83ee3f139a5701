"""For tests of the scripts: their shell functions, and the record of a stack that runs."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def bash(folder: Path, script: str) -> subprocess.CompletedProcess[str]:
    """Run a script that may use every function of scripts/lib, in `folder`."""
    loaded = "".join(f". '{path}'\n" for path in sorted((ROOT / "scripts/lib").glob("*.sh")))
    return subprocess.run(
        ["bash", "-c", f"set -euo pipefail\n{loaded}{script}"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def start_ticks_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])


def record(run_folder: Path, *, pid: int, start_ticks: int) -> None:
    content = {"pid": pid, "start_ticks": start_ticks, "url": "http://127.0.0.1:9"}
    (run_folder / "up.json").write_text(json.dumps(content))
