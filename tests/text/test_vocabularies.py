from __future__ import annotations

import base64
import socket
from pathlib import Path

import pytest
import tiktoken
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import ConfigurationError, InvalidField
from gateway.text.tokenizer import TextTokenizer
from gateway.text.vocabularies import Cl100kBase, model_ids
from tests.support.tiny_tokenizer import CLS, SEP, VOCABULARY, tiny_tokenizer

RANKS = {bytes([byte]): byte for byte in range(256)} | {b"he": 256, b"llo": 257, b" wor": 258, "漢".encode(): 259}
SPECIAL = {
    "<|endoftext|>": 100257,
    "<|fim_prefix|>": 100258,
    "<|fim_middle|>": 100259,
    "<|fim_suffix|>": 100260,
    "<|endofprompt|>": 100276,
}
ORACLE = tiktoken.Encoding("small", pat_str=r"\S+|\s+", mergeable_ranks=RANKS, special_tokens=SPECIAL)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("vocabularies")
    lines = [f"{base64.b64encode(token).decode()} {rank}" for token, rank in RANKS.items()]
    (folder / "cl100k_base.tiktoken").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture(scope="module")
def cl100k(folder: Path) -> Cl100kBase:
    return Cl100kBase(folder)


@pytest.fixture(scope="module")
def tiny() -> TextTokenizer:
    return TextTokenizer(tiny_tokenizer(), max_tokens=12, max_text_bytes=1024)


@given(ids=st.lists(st.sampled_from([*range(260), *SPECIAL.values()]), max_size=30))
def test_decoding_agrees_with_tiktoken(cl100k: Cl100kBase, ids: list[int]) -> None:
    assert cl100k.decode(ids, index=0) == ORACLE.decode(ids, errors="replace")


def test_ids_that_cut_a_character_apart_give_replacement_characters(cl100k: Cl100kBase) -> None:
    assert cl100k.decode([104, 0xE6, 105], index=0) == "h\ufffdi"


@pytest.mark.parametrize("bad", [-1, 260, 100256, 100261, 100277, 2**63])
def test_an_id_outside_is_refused_by_position_and_not_repeated(cl100k: Cl100kBase, bad: int) -> None:
    with pytest.raises(InvalidField, match="position 2 of input 7") as refused:
        cl100k.decode([104, 105, bad], index=7)
    assert str(bad) not in refused.value.message.replace("from 0 to 100276", "")


def test_a_missing_vocabulary_names_what_mends_it_and_is_found_once_installed(tmp_path: Path, folder: Path) -> None:
    cl100k = Cl100kBase(tmp_path)
    with pytest.raises(InvalidField) as refused:
        cl100k.decode([104], index=0)
    for mend in ("check_embedding_ctx_length=False", "GATEWAY_TOKEN_IDS", "gateway models pull cl100k_base"):
        assert mend in refused.value.message
    (tmp_path / "cl100k_base.tiktoken").write_bytes((folder / "cl100k_base.tiktoken").read_bytes())
    assert cl100k.decode([104], index=0) == "h"


def test_loading_uses_no_network_and_no_cache(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("the network was used")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path / "cache"))
    assert Cl100kBase(folder).decode([256, 257], index=0) == "hello"
    assert not (tmp_path / "cache").exists()


def test_a_damaged_vocabulary_is_the_operators_to_mend(tmp_path: Path) -> None:
    (tmp_path / "cl100k_base.tiktoken").write_text("half a line\nno rank here at all\n")
    with pytest.raises(ConfigurationError, match="damaged"):
        Cl100kBase(tmp_path).decode([1], index=0)


def test_model_ids_get_special_tokens_unless_they_have_them(tiny: TextTokenizer) -> None:
    cat = VOCABULARY["cat"]
    assert model_ids([cat], tiny, index=0).tolist() == [CLS, cat, SEP]
    assert model_ids([CLS, cat, SEP], tiny, index=0).tolist() == [CLS, cat, SEP]
    assert model_ids([CLS, cat], tiny, index=0).tolist() == [CLS, CLS, cat, SEP]
    assert model_ids([], tiny, index=0).tolist() == [CLS, SEP]
    assert model_ids([CLS], tiny, index=0).tolist() == [CLS, CLS, SEP]


@pytest.mark.parametrize("bad", [-1, len(VOCABULARY), 2**63, -(2**70)])
def test_model_ids_outside_the_vocabulary_are_refused(tiny: TextTokenizer, bad: int) -> None:
    with pytest.raises(InvalidField, match="position 1 of input 5"):
        model_ids([4, bad], tiny, index=5)
