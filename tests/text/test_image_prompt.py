from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.cards.schema import ImageSpec
from gateway.errors import ConfigurationError
from gateway.text.image_prompt import ImagePrompt
from gateway.text.tokenizer import TextTokenizer
from tests.support.tiny_tokenizer import tiny_tokenizer
from tests.support.unpadded_engine import IDS, IMAGES, unpadded_tokenizer


@pytest.fixture(scope="module")
def tokenizer() -> TextTokenizer:
    return TextTokenizer(unpadded_tokenizer(), max_tokens=4, max_text_bytes=1024)


@given(st.integers(1, 12), st.integers(1, 12))
def test_the_image_token_stands_once_for_each_square(tokenizer: TextTokenizer, rows: int, columns: int) -> None:
    prompt = ImagePrompt.of(tokenizer, IMAGES)
    ids = prompt.ids(2 * rows, 2 * columns).tolist()
    words = ["[START]", *["[IMG]"] * (rows * columns), "[END]", "the", "cat"]
    assert ids == [IDS[word] for word in words]
    assert len(ids) == prompt.own_tokens + rows * columns


def test_no_special_tokens_are_put_around_it() -> None:
    """Though the tokenizer puts some around a text."""
    spec = replace(IMAGES, prompt="the [SEP] cat", pad_token="[SEP]")
    tokenizer = TextTokenizer(tiny_tokenizer(), max_tokens=12, max_text_bytes=1024)
    assert len(ImagePrompt.of(tokenizer, spec).ids(2, 2)) == 3


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        (replace(IMAGES, pad_token="unbelievable"), "as 3 tokens instead of one"),
        (replace(IMAGES, pad_token=" "), "as 0 tokens instead of one"),
        (replace(IMAGES, prompt="the cat"), "0 times instead of once"),
        (replace(IMAGES, prompt="[IMG] the [IMG]"), "2 times instead of once"),
    ],
)
def test_a_prompt_that_cannot_be_is_told(tokenizer: TextTokenizer, spec: ImageSpec, why: str) -> None:
    with pytest.raises(ConfigurationError, match=why):
        ImagePrompt.of(tokenizer, spec)
