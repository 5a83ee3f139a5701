"""Texts that people wrote, from what every checkout has: its own documents, and docstrings of installed packages."""

from __future__ import annotations

import ast
import functools
import random
import re
import sysconfig
from collections.abc import Iterator
from pathlib import Path

# Packages with long docstrings, some of which every environment has.
PACKAGES = ("numpy", "starlette", "httpx", "typer", "pydantic", "fastapi", "onnxruntime", "huggingface_hub", "psutil")
SHORTEST_CHARACTERS = 30
LONGEST_CHARACTERS = 1500


def natural_texts(root: Path, *, count: int) -> list[str]:
    """`count` different paragraphs, from a line to some 300 words. The same ones only for the same documents under
    `root` and the same installed packages: an edited document or another version gives other texts.

    Raises `ValueError` where there are fewer.
    """
    found = _all_of(root)
    if len(found) < count:
        raise ValueError(f"only {len(found)} texts of {count} were found")
    return random.Random(1).sample(found, count)


@functools.cache
def _all_of(root: Path) -> tuple[str, ...]:
    """Kept, because reading them takes seconds."""
    return tuple(dict.fromkeys((*_of_documents(root), *_of_docstrings())))


def _of_documents(root: Path) -> Iterator[str]:
    for file in sorted([*root.glob("*.md"), *root.glob("docs/*.md"), *root.glob("benchmarks/*.md")]):
        yield from _paragraphs(file.read_text(encoding="utf-8"))


def _of_docstrings() -> Iterator[str]:
    packages = Path(sysconfig.get_path("purelib"))
    for name in PACKAGES:
        for file in sorted((packages / name).rglob("*.py"))[:60]:
            try:
                tree = ast.parse(file.read_text(encoding="utf-8"))
            except (SyntaxError, ValueError):
                continue
            for node in ast.walk(tree):
                if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
                    yield from _paragraphs(ast.get_docstring(node) or "")


def _paragraphs(text: str) -> Iterator[str]:
    for paragraph in re.split(r"\n\s*\n", text):
        plain = " ".join(paragraph.split())
        if len(plain) >= SHORTEST_CHARACTERS and sum(map(str.isalpha, plain)) > len(plain) / 2:
            yield plain[:LONGEST_CHARACTERS]
