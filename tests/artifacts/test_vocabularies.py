"""The cl100k_base vocabulary comes out of a wheel, whole and proved; its published hash is tiktoken's own."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import tiktoken_ext.openai_public

from gateway.artifacts.vocabularies import CL100K_BASE, VocabularySource, is_installed
from gateway.artifacts.vocabulary_installing import install_vocabulary
from gateway.errors import ArtifactError
from tests.support.local_index import LocalIndex, local_index, make_wheel

RANKS = b"IQ== 0\nIg== 1\n" * 100


def published(index: LocalIndex) -> VocabularySource:
    wheel = make_wheel("llama-index-core", CL100K_BASE.wheel.version, {CL100K_BASE.member: RANKS})
    index.publish("llama-index-core", CL100K_BASE.wheel.version, wheel)
    spec = replace(CL100K_BASE.wheel, sha256=hashlib.sha256(wheel).hexdigest(), size_bytes=len(wheel))
    return replace(CL100K_BASE, sha256=hashlib.sha256(RANKS).hexdigest(), size_bytes=len(RANKS), wheel=spec)


@pytest.fixture
def index(monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalIndex]:
    with local_index(monkeypatch) as index:
        yield index


def test_the_hash_and_the_file_name_are_those_of_tiktoken() -> None:
    source = inspect.getsource(tiktoken_ext.openai_public.cl100k_base)
    assert CL100K_BASE.sha256 in source
    address = next(word.strip('",') for word in source.split() if "cl100k_base.tiktoken" in word)
    assert CL100K_BASE.member.endswith(hashlib.sha1(address.encode()).hexdigest())


def test_it_is_installed_once(index: LocalIndex, tmp_path: Path) -> None:
    source, folder = published(index), tmp_path / "vocabularies"
    assert not is_installed(source, folder)
    assert install_vocabulary(source, folder, staging=tmp_path / "staging")
    assert (folder / "cl100k_base.tiktoken").read_bytes() == RANKS
    assert is_installed(source, folder)
    index.paths.clear()
    assert not install_vocabulary(source, folder, staging=tmp_path / "staging")
    assert index.paths == []


def test_a_changed_file_is_mended_on_demand(index: LocalIndex, tmp_path: Path) -> None:
    source = published(index)
    install_vocabulary(source, tmp_path, staging=tmp_path / "staging")
    (tmp_path / "cl100k_base.tiktoken").write_bytes(RANKS[::-1])
    assert install_vocabulary(source, tmp_path, staging=tmp_path / "staging", rehash=True)
    assert (tmp_path / "cl100k_base.tiktoken").read_bytes() == RANKS


def test_another_vocabulary_than_the_published_one_is_refused(index: LocalIndex, tmp_path: Path) -> None:
    source = replace(published(index), sha256=CL100K_BASE.sha256)
    with pytest.raises(ArtifactError, match=CL100K_BASE.sha256):
        install_vocabulary(source, tmp_path, staging=tmp_path / "staging")
    assert not (tmp_path / "cl100k_base.tiktoken").exists()
