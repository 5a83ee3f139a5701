"""The vocabularies that callers' token ids may come from: where they are published, and whether they are here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from gateway.cards.schema import WheelSpec
from gateway.text.vocabularies import CL100K_FILE
from gateway.types import Vocabulary


@dataclass(frozen=True, slots=True)
class VocabularySource:
    """A vocabulary file and the wheel that carries it. `sha256` is the one its publisher states."""

    vocabulary: Vocabulary
    sha256: str
    size_bytes: int
    wheel: WheelSpec
    member: str
    file_name: str


# llama-index-core ships tiktoken's download cache, whose file name is the sha1 of the file's address. The file's hash
# is the one in tiktoken's own source (tiktoken_ext.openai_public).
CL100K_BASE = VocabularySource(
    vocabulary=Vocabulary.CL100K_BASE,
    sha256="223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7",
    size_bytes=1_681_126,
    wheel=WheelSpec(
        project="llama-index-core",
        version="0.14.25",
        sha256="caa7d9c5ac9b13dc33400cf8d5e92e689b6d1e4497eb9bfa50d6f52ca2eb22a1",
        size_bytes=11_928_254,
    ),
    member="llama_index/core/_static/tiktoken_cache/9b5ad71b2ce5302211f9c61530b329a4922fc6a4",
    file_name=CL100K_FILE,
)

SOURCES: dict[str, VocabularySource] = {CL100K_BASE.vocabulary.value: CL100K_BASE}


def is_installed(source: VocabularySource, folder: Path) -> bool:
    """Whether the file lies in `folder`, at its size."""
    path = folder / source.file_name
    return path.is_file() and path.stat().st_size == source.size_bytes
