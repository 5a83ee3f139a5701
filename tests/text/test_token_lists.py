from __future__ import annotations

import base64
import socket
from pathlib import Path
from unittest.mock import patch

import pytest
import tiktoken_ext.openai_public
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import ConfigurationError
from gateway.text.token_lists import CL100K_PATTERN, Cl100kEncoder, listed
from gateway.text.tokenizer import TextTokenizer
from tests.conftest import VOCABULARIES, need
from tests.support.tokenizer_kinds import KINDS

MERGED = [b"he", b"llo", b" wo", b"\xe4\xbd", "好".encode()[:2]]
texts = st.text("hello world 你好🙂👩\u200d👧é\u0301\n<|endoftext|>", max_size=40)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Cl100kEncoder:
    folder = tmp_path_factory.mktemp("vocabularies")
    tokens = [*(bytes([byte]) for byte in range(256)), b"ll", *MERGED]
    lines = [f"{base64.b64encode(token).decode()} {rank}" for rank, token in enumerate(tokens)]
    (folder / "cl100k_base.tiktoken").write_text("\n".join(lines))
    encoder = Cl100kEncoder(folder)
    encoder.load()
    return encoder


def test_the_pattern_is_the_published_one() -> None:
    with patch.object(tiktoken_ext.openai_public, "load_tiktoken_bpe", return_value={}):
        published = tiktoken_ext.openai_public.cl100k_base()
    assert published["pat_str"] == CL100K_PATTERN


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        # As printed in OpenAI's cookbook, "How to count tokens with tiktoken".
        ("antidisestablishmentarianism", [519, 85342, 34500, 479, 8997, 2191]),
        ("2 + 2 = 4", [17, 489, 220, 17, 284, 220, 19]),
        ("お誕生日おめでとう", [33334, 45918, 243, 21990, 9080, 33334, 62004, 16556, 78699]),
    ],
)
def test_the_installed_vocabulary_gives_the_published_ids(text: str, ids: list[int]) -> None:
    encoder = Cl100kEncoder(VOCABULARIES)
    need(None if encoder.is_installed else "cl100k_base; gateway models pull cl100k_base")
    encoder.load()
    assert encoder.encode([text]) == [ids]


@given(text=texts)
def test_listed_tokens_are_the_text_and_its_ids(small: Cl100kEncoder, text: str) -> None:
    [ids] = small.encode([text])
    tokens = list(small.listed(ids))
    assert "".join(part for part, _ in tokens) == text
    assert [token for _, together in tokens for token in together] == ids
    assert all(part for part, _ in tokens)


def test_tokens_of_one_character_are_listed_together(small: Cl100kEncoder) -> None:
    [ids] = small.encode(["he你"])
    assert [(part, len(together)) for part, together in small.listed(ids)] == [("he", 1), ("你", 2)]


def test_control_tokens_in_a_text_are_letters(small: Cl100kEncoder) -> None:
    assert len(small.encode(["<|endoftext|>"])[0]) == len("<|endoftext|>")


def test_loading_uses_neither_network_nor_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("the network was used")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path / "cache"))
    lines = [f"{base64.b64encode(bytes([byte])).decode()} {byte}" for byte in range(256)]
    (tmp_path / "cl100k_base.tiktoken").write_text("\n".join(lines))
    encoder = Cl100kEncoder(tmp_path)
    encoder.load()
    assert encoder.encode(["ab"]) == [[97, 98]]
    assert not (tmp_path / "cache").exists()


def test_a_vocabulary_is_found_once_it_is_installed(tmp_path: Path) -> None:
    encoder = Cl100kEncoder(tmp_path)
    assert not encoder.is_installed
    (tmp_path / "cl100k_base.tiktoken").write_text("damaged")
    assert encoder.is_installed
    with pytest.raises(ConfigurationError, match="damaged"):
        encoder.load()


@pytest.mark.parametrize("kind", KINDS)
@given(text=texts | st.text(max_size=30))
def test_a_models_tokens_are_listed_with_their_parts_of_the_text(kind: str, text: str) -> None:
    if any("\ud800" <= letter <= "\udfff" for letter in text):
        return
    tokenizer = TextTokenizer(KINDS[kind](), max_tokens=1000, max_text_bytes=10**6)
    [tokens] = tokenizer.encode_with_offsets([text])
    parts = list(listed(text, tokens))
    [bare] = tokenizer.encode_bare([text], most=10_000)
    assert [token for _, together in parts for token in together] == bare.ids.tolist()
    position = 0
    for part, _ in parts:
        position = text.index(part, position) + len(part)


def test_bytes_of_one_character_and_what_was_put_before_it_are_listed_together() -> None:
    tokenizer = TextTokenizer(KINDS["byte level"](), max_tokens=1000, max_text_bytes=10**6)
    [tokens] = tokenizer.encode_with_offsets(["a🙂"])
    assert [(part, len(together)) for part, together in listed("a🙂", tokens)] == [("a", 1), ("🙂", 4)]
    tokenizer = TextTokenizer(KINDS["xlm-roberta"](), max_tokens=1000, max_text_bytes=10**6)
    [tokens] = tokenizer.encode_with_offsets(["the 你好"])
    assert [(part, len(together)) for part, together in listed("the 你好", tokens)] == [
        ("the", 1),
        ("你", 2),
        ("好", 1),
    ]
