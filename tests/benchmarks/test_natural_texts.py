"""The texts are paragraphs, all different, the same ones each time."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.natural_texts import LONGEST_CHARACTERS, SHORTEST_CHARACTERS, natural_texts
from tests.support.code_blocks import ROOT


def test_they_are_different_paragraphs_of_documents_and_docstrings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.natural_texts.PACKAGES", ("psutil",))
    found = natural_texts(ROOT / "docs", count=400)
    assert found == natural_texts(ROOT / "docs", count=400)
    assert len(set(found)) == 400
    assert any("psutil" in text for text in found)
    assert any("GATEWAY_" in text for text in found)
    assert all(SHORTEST_CHARACTERS <= len(text) <= LONGEST_CHARACTERS and "\n" not in text for text in found)


def test_documents_are_among_them_and_too_many_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.natural_texts.PACKAGES", ())
    words = "A paragraph of a document that somebody wrote"
    (tmp_path / "page.md").write_text(f"{words}\nin two lines.\n\n| 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8 | 9 |\n\nshort\n")
    assert natural_texts(tmp_path, count=1) == [f"{words} in two lines."]
    with pytest.raises(ValueError, match="only 1 texts of 2"):
        natural_texts(tmp_path, count=2)
