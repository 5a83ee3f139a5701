"""A graph that pools by itself: what its card may say."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.cards.loading import load_card
from gateway.errors import ConfigurationError
from tests.support.tiny_bert import TinyModel

TOKENS = """[[triton.outputs]]
name = "last_hidden_state"
data_type = "TYPE_FP32"
dims = [-1, -1, 16]
role = "token_embeddings"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = TinyModel().write_card(tmp_path, scratch=tmp_path)
    text = (folder / "card.toml").read_text(encoding="utf-8")
    assert TOKENS in text
    (folder / "card.toml").write_text(text.replace('pooling = "mean"', 'pooling = "in_graph"'), encoding="utf-8")
    return folder


def test_a_finished_vector_is_all_there_is(folder: Path) -> None:
    text = (folder / "card.toml").read_text(encoding="utf-8")
    (folder / "card.toml").write_text(text.replace(TOKENS, ""), encoding="utf-8")
    assert not load_card(folder).embedding.may_chunk_late


def test_token_vectors_beside_it_would_be_pooled_by_nobody_knows_what(folder: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"vectors\.pooling has to be in_graph only where"):
        load_card(folder)
