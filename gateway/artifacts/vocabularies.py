"""Installing the vocabularies that callers' token ids may come from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from gateway.artifacts.exclusive import exclusive
from gateway.artifacts.placing import Expected, content_of
from gateway.artifacts.progress import Progress, SilentProgress
from gateway.artifacts.sources import STAGING_LOCK
from gateway.artifacts.wheel_index import open_wheel
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


def install_vocabulary(
    source: VocabularySource, folder: Path, *, staging: Path, progress: Progress | None = None, rehash: bool = False
) -> bool:
    """Put the vocabulary's file into `folder`; False when it was there already.

    Raises `ArtifactError` when the wheel cannot be fetched or does not hold the right file.
    """
    path = folder / source.file_name
    folder.mkdir(parents=True, exist_ok=True)
    progress = progress or SilentProgress()
    expected = Expected(label=source.file_name, size_bytes=source.size_bytes, sha256=source.sha256)
    with exclusive(staging / STAGING_LOCK):
        if is_installed(source, folder) and not (rehash and content_of(path).sha256 != source.sha256):
            return False
        with open_wheel(source.wheel, staging=staging, progress=progress) as wheel:
            wheel.place(source.member, path, expected, progress=progress)
    return True
