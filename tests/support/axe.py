"""axe-core, the usual checker of accessibility, as a script to run in a page: from a package that brings nothing else
along, into `.run/axe`, made once."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from filelock import FileLock

from tests.support.chromium import Tab

ROOT = Path(__file__).resolve().parents[2]
# Its own requirement, a whole browser driver, is left out: wanted is the script that it carries.
PACKAGE = "axe-playwright-python==0.1.8"
FOLDER = ROOT / ".run/axe"
INSTALL_SECONDS = 200
# Of WCAG's levels A and AA in all its versions, and what axe's authors hold to be good practice.
TAGS = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice")


def axe_script() -> str:
    FOLDER.parent.mkdir(exist_ok=True)
    with FileLock(f"{FOLDER}.lock"):
        if not (FOLDER / PACKAGE).is_file():
            shutil.rmtree(FOLDER, ignore_errors=True)
            _install()
            (FOLDER / PACKAGE).touch()
    [script] = FOLDER.rglob("axe.min.js")
    return script.read_text(encoding="utf-8")


def _install() -> None:
    command = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--no-deps",
        "--target",
    ]
    result = subprocess.run(
        [*command, str(FOLDER), PACKAGE], capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False
    )
    assert result.returncode == 0, result.stderr


def violations(tab: Tab, script: str) -> list[dict[str, Any]]:
    """What axe finds wrong with the page as it stands, or cannot tell of colours, each with the elements that it is
    about."""
    tab.evaluate(f"{script}; void 0")
    options = json.dumps({"runOnly": {"type": "tag", "values": TAGS}})
    found = tab.evaluate(f"axe.run(document, {options})")
    assert len(found["passes"]) > 15, "axe looked at next to nothing"
    unsure = [one for one in found["incomplete"] if one["id"] == "color-contrast"]
    described = [
        {"rule": one["id"], "help": one["help"], "nodes": [_described(node) for node in one["nodes"]]}
        for one in [*found["violations"], *unsure]
    ]
    # What lies behind words in a drawing it never knows.
    kept = [one | {"nodes": [node for node in one["nodes"] if not node.startswith("<text ")]} for one in described]
    return [one for one in kept if one["nodes"]]


def _described(node: dict[str, Any]) -> str:
    reasons = [check["message"] for check in (*node["any"], *node["all"], *node["none"])]
    return f"{node['html'][:200]} {' '.join(reasons)}"
