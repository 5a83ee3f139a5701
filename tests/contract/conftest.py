"""What the contract tests need besides the running gateway: the two vocabularies that token ids may come from."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
import tiktoken
from tokenizers import Tokenizer

from tests.conftest import BUNDLED_MODEL, REPOSITORY, VOCABULARIES, missing_bundled_model, need


@pytest.fixture(scope="session")
def bundled_tokenizer() -> Tokenizer:
    need(missing_bundled_model())
    tokenizer = Tokenizer.from_file(str(REPOSITORY / BUNDLED_MODEL / "1" / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


@pytest.fixture(scope="session")
def cl100k_base() -> tiktoken.Encoding:
    """An encoder over the installed ranks. It splits words its own simple way: other ids, but of the same text."""
    file = VOCABULARIES / "cl100k_base.tiktoken"
    need(None if file.is_file() else "cl100k_base is not installed; gateway models pull cl100k_base")
    return tiktoken.Encoding("ranks", pat_str=r"\s?\S+|\s+", mergeable_ranks=ranks_of(file), special_tokens={})


def ranks_of(file: Path) -> dict[bytes, int]:
    pairs = (line.split() for line in file.read_bytes().splitlines() if line)
    return {base64.b64decode(token): int(rank) for token, rank in pairs}
