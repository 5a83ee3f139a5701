from __future__ import annotations

import base64
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from gateway.errors import InvalidField, TokenLimitExceeded
from gateway.text.image_prompt import ImagePrompt
from gateway.text.reading import InputReader, ReadingLimits
from gateway.text.tokenizer import TextTokenizer
from gateway.text.vocabularies import Cl100kBase
from gateway.types import ImageInput, Overflow, TextInput, TokenInput, Vocabulary
from tests.support.tiny_tokenizer import CLS, SEP, VOCABULARY, tiny_tokenizer
from tests.support.unpadded_engine import IMAGES, unpadded_tokenizer

CAT, MAT = VOCABULARY["cat"], VOCABULARY["mat"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    lines = [f"{base64.b64encode(bytes([byte])).decode()} {byte}" for byte in range(256)]
    (tmp_path / "cl100k_base.tiktoken").write_text("\n".join(lines))
    return tmp_path


@pytest.fixture
def executor() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as executor:
        yield executor


def reader(
    executor: ThreadPoolExecutor,
    folder: Path,
    *,
    max_request_tokens: int = 1000,
    strict_empty: bool = False,
    token_ids: Vocabulary | None = Vocabulary.CL100K_BASE,
) -> InputReader:
    limits = ReadingLimits(max_request_tokens=max_request_tokens, strict_empty=strict_empty, token_ids=token_ids)
    tokenizer = TextTokenizer(tiny_tokenizer(), max_tokens=12, max_text_bytes=1024)
    return InputReader(tokenizer, executor=executor, threads=2, cl100k_base=Cl100kBase(folder), limits=limits)


async def test_mixed_inputs_keep_their_order(executor: ThreadPoolExecutor, folder: Path) -> None:
    rows = await reader(executor, folder).rows(
        [
            TokenInput((CAT, MAT), Vocabulary.MODEL),
            TextInput("cat"),
            TokenInput(tuple(b"the mat")),
            TextInput(""),
            TokenInput((), Vocabulary.MODEL),
        ],
        overflow=Overflow.REFUSE,
    )
    assert [row.ids.tolist() for row in rows] == [
        [CLS, CAT, MAT, SEP],
        [CLS, CAT, SEP],
        [CLS, VOCABULARY["the"], MAT, SEP],
        [CLS, SEP],
        [CLS, SEP],
    ]
    assert [row.token_count for row in rows] == [4, 3, 4, 2, 2]


async def test_the_default_vocabulary_is_for_ids_that_do_not_say(executor: ThreadPoolExecutor, folder: Path) -> None:
    by_model = reader(executor, folder, token_ids=Vocabulary.MODEL)
    rows = await by_model.rows(
        [TokenInput((CAT,)), TokenInput(tuple(b"cat"), Vocabulary.CL100K_BASE)], overflow=Overflow.REFUSE
    )
    assert [row.ids.tolist() for row in rows] == [[CLS, CAT, SEP]] * 2


async def test_refusing_ids_leaves_stated_ones_alone(executor: ThreadPoolExecutor, folder: Path) -> None:
    refusing = reader(executor, folder, token_ids=None)
    with pytest.raises(InvalidField, match="GATEWAY_TOKEN_IDS"):
        await refusing.rows([TokenInput((CAT,))], overflow=Overflow.REFUSE)
    await refusing.rows([TokenInput((CAT,), Vocabulary.MODEL)], overflow=Overflow.REFUSE)


@pytest.mark.parametrize("given", [TextInput("cat " * 11), TokenInput((CAT,) * 11, Vocabulary.MODEL)])
async def test_overflow_names_the_input_or_is_cut(
    executor: ThreadPoolExecutor, folder: Path, given: TextInput | TokenInput
) -> None:
    whole = reader(executor, folder)
    inputs = [TokenInput((MAT,), Vocabulary.MODEL), TextInput("mat"), given]
    with pytest.raises(TokenLimitExceeded, match="12 tokens, however you requested 13 tokens in input 2"):
        await whole.rows(inputs, overflow=Overflow.REFUSE)
    rows = await whole.rows(inputs, overflow=Overflow.TRUNCATE)
    assert [row.truncated for row in rows] == [False, False, True]
    assert rows[2].ids.tolist() == [CLS, *[CAT] * 10, SEP]


async def test_a_request_with_too_many_tokens_is_refused_as_a_whole(executor: ThreadPoolExecutor, folder: Path) -> None:
    small = reader(executor, folder, max_request_tokens=8)
    await small.rows([TextInput("cat cat"), TextInput("mat mat")], overflow=Overflow.REFUSE)
    with pytest.raises(TokenLimitExceeded, match="8 tokens per request, however you requested 9 tokens") as refused:
        await small.rows([TextInput("cat cat"), TextInput("mat mat mat")], overflow=Overflow.REFUSE)
    assert "Please reduce your prompt; or completion length." in refused.value.message
    with pytest.raises(TokenLimitExceeded, match="at least 9 tokens"):
        await small.rows([TokenInput((CAT,) * 7, Vocabulary.MODEL), TextInput("cat")], overflow=Overflow.REFUSE)


async def test_a_huge_request_is_refused_before_all_of_it_is_read(executor: ThreadPoolExecutor, folder: Path) -> None:
    small = reader(executor, folder, max_request_tokens=1000)
    with pytest.raises(TokenLimitExceeded, match="at least"):
        await small.rows([TextInput("cat cat cat cat cat cat")] * 20_000, overflow=Overflow.REFUSE)


async def test_strict_empty_refuses_empty_texts_in_every_form(executor: ThreadPoolExecutor, folder: Path) -> None:
    strict = reader(executor, folder, strict_empty=True)
    for empty in (TextInput(""), TokenInput((), Vocabulary.MODEL), TokenInput(())):
        with pytest.raises(InvalidField, match="Input 1 is an empty string"):
            await strict.rows([TextInput("cat"), empty], overflow=Overflow.REFUSE)


async def test_images_stand_among_texts_and_count(executor: ThreadPoolExecutor, folder: Path) -> None:
    tokenizer = TextTokenizer(unpadded_tokenizer(), max_tokens=12, max_text_bytes=1024)
    given = InputReader(
        tokenizer,
        executor=executor,
        threads=2,
        cl100k_base=Cl100kBase(folder),
        limits=ReadingLimits(max_request_tokens=18, strict_empty=False, token_ids=None),
        image_prompt=ImagePrompt.of(tokenizer, IMAGES),
    )
    image = np.zeros((4, 6, 3), np.uint8)
    inputs = [TextInput("cat"), ImageInput(url="x"), TokenInput((5, 6), Vocabulary.MODEL), TextInput("mat")]
    rows = await given.rows(inputs, overflow=Overflow.REFUSE, images={1: image})
    assert [row.token_count for row in rows] == [1, 10, 2, 1]
    assert [row.pixels is image for row in rows] == [False, True, False, False]
    assert await given.texts(inputs) == ["cat", None, None, "mat"]
    with pytest.raises(TokenLimitExceeded, match="19 tokens in total"):
        await given.rows([*inputs, TextInput("cat " * 5)], overflow=Overflow.REFUSE, images={1: image})
    with pytest.raises(TokenLimitExceeded, match=r"however 'input\[1\]' is an image of 13 tokens"):
        await given.rows(inputs, overflow=Overflow.TRUNCATE, images={1: np.zeros((6, 6, 3), np.uint8)})
