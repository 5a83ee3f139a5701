"""Reads the code blocks of README and docs, each with the mark that says how it is to be tested."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = [
    *(ROOT / name for name in ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")),
    ROOT / "benchmarks/README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]
OUTPUT_MARK = "output of the block above"
RUNNABLE = {"bash", "sh", "python", "powershell", "console", "javascript", "sql", "ini"}
# By tests/docs/test_client_pages.py, with the clients' own packages; `twins`: against the tiny twins of shipped models.
CLIENT_MARKS = {
    "run: client", "run: client twins", "run: client postgres", "run: client postgres twins",
    "checked: elasticsearch", "checked: open-webui",
}  # fmt: skip

_FENCE = re.compile(r"^```(?P<language>\S*)$(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)
_MARK = re.compile(r"<!-- (?P<mark>[^>]*) -->\s*$")


@dataclass(frozen=True)
class Block:
    """`mark` is the HTML comment right above the fence, or ''; `line` is where the code starts."""

    page: Path
    line: int
    language: str
    code: str
    mark: str

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}"


def blocks_of(page: Path) -> list[Block]:
    """Every fenced block of a page, in order."""
    text = page.read_text()
    found = []
    for fence in _FENCE.finditer(text):
        mark = _MARK.search(text, 0, fence.start())
        found.append(
            Block(
                page=page,
                line=text.count("\n", 0, fence.start("code")) + 2,
                language=fence["language"],
                code=fence["code"].removeprefix("\n"),
                mark=mark["mark"].strip() if mark else "",
            )
        )
    return found


def all_blocks() -> list[Block]:
    return [block for page in PAGES for block in blocks_of(page)]


def expected_output(block: Block) -> str | None:
    """What the page says the block prints; None where it says nothing."""
    siblings = blocks_of(block.page)
    following = siblings[siblings.index(block) + 1 :]
    return following[0].code if following and following[0].mark == OUTPUT_MARK else None
