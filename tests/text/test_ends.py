"""What is kept of a text that is too long where its end counts: its last tokens, behind the whole prefix."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from gateway.text.ends import end_of_ids, end_rows
from gateway.text.reading import InputReader, ReadingLimits
from gateway.text.tokenizer import TextTokenizer
from gateway.text.vocabularies import Cl100kBase
from gateway.types import Overflow, TextInput, TokenInput, Vocabulary
from tests.conftest import BUNDLED_MODEL, REPOSITORY, missing_bundled_model, need

WINDOW = 12


@pytest.fixture(scope="module")
def raw() -> Tokenizer:
    need(missing_bundled_model())
    return Tokenizer.from_file(str(REPOSITORY / BUNDLED_MODEL / "1" / "tokenizer.json"))


@pytest.fixture(scope="module")
def tokenizer(raw: Tokenizer) -> TextTokenizer:
    return TextTokenizer(raw, max_tokens=WINDOW, max_text_bytes=2048)


def text_of(raw: Tokenizer, ids: np.ndarray) -> str:
    return str(raw.decode(ids.tolist(), skip_special_tokens=True))


@pytest.mark.parametrize("prefix", ["", "query: "])
def test_the_last_words_fill_the_window(raw: Tokenizer, tokenizer: TextTokenizer, prefix: str) -> None:
    text = " ".join(f"word{number}" for number in range(200))
    [ids] = end_rows(tokenizer, prefix, [text])
    assert len(ids) == WINDOW
    assert text_of(raw, ids).endswith("word199")
    assert text_of(raw, ids).startswith(prefix.partition(":")[0])
    assert (ids[0], ids[-1]) == (tokenizer.prefix_ids[0], tokenizer.suffix_ids[0])


def test_a_text_of_megabytes_is_read_from_its_end_only(raw: Tokenizer, tokenizer: TextTokenizer) -> None:
    seen: list[int] = []
    whole = tokenizer.encode_with_offsets

    class Watched(TextTokenizer):
        def encode_with_offsets(self, texts, **options):  # type: ignore[no-untyped-def]
            seen.extend(map(len, texts))
            return whole(texts, **options)

    watched = Watched(raw, max_tokens=WINDOW, max_text_bytes=2048)
    [ids] = end_rows(watched, "", ["filler " * 300_000 + "the very end"])
    assert text_of(raw, ids).endswith("the very end")
    assert max(seen) < 2000


def test_white_space_has_no_tokens_and_is_looked_past(raw: Tokenizer, tokenizer: TextTokenizer) -> None:
    [ids] = end_rows(tokenizer, "", ["alpha " * 50 + "omega" + " " * 5000])
    assert text_of(raw, ids).endswith("alpha omega")
    assert len(ids) == WINDOW


def test_a_prefix_that_leaves_no_room_is_cut_as_ever(tokenizer: TextTokenizer) -> None:
    prefix = "a b c d e f g h i j k l m n "
    [ids] = end_rows(tokenizer, prefix, ["some text"])
    [cut] = tokenizer.encode([prefix])
    assert ids.tolist() == cut.ids.tolist()


def test_ids_lose_what_follows_the_first_special_ones(tokenizer: TextTokenizer) -> None:
    ids = np.array([101, *range(1000, 1050), 102], dtype=np.int64)
    assert end_of_ids(tokenizer, ids).tolist() == [101, *range(1040, 1050), 102]
    assert end_of_ids(tokenizer, ids[:5]).tolist() == ids[:5].tolist()


@given(
    text=st.text(alphabet="ab -.éß中\U0001f680\n", min_size=30, max_size=90), prefix=st.sampled_from(["", "q: ", "é "])
)
def test_the_text_loses_its_first_tokens_and_the_prefix_none(
    raw: Tokenizer, tokenizer: TextTokenizer, text: str, prefix: str
) -> None:
    own = raw.encode(text, add_special_tokens=False).ids
    before = raw.encode(prefix, add_special_tokens=False).ids
    room = WINDOW - 2 - len(before)
    [ids] = end_rows(tokenizer, prefix, [text])
    assert ids.tolist() == [101, *before, *own[-room:], 102]


async def test_the_reader_cuts_only_what_is_too_long(raw: Tokenizer, tokenizer: TextTokenizer, tmp_path: Path) -> None:
    long = " ".join(f"word{number}" for number in range(200))
    limits = ReadingLimits(max_request_tokens=1000, strict_empty=False, token_ids=Vocabulary.MODEL)
    with ThreadPoolExecutor(1) as executor:
        reader = InputReader(tokenizer, executor=executor, threads=1, cl100k_base=Cl100kBase(tmp_path), limits=limits)
        rows = await reader.rows(
            [TextInput("short"), TextInput(long), TokenInput(tuple(range(1000, 1050)))],
            overflow=Overflow.TRUNCATE_START,
            prefix_of=lambda place, _: f"number {place} ",
        )
    assert [row.truncated for row in rows] == [False, True, True]
    assert text_of(raw, rows[0].ids) == "number 0 short"
    assert text_of(raw, rows[1].ids).startswith("number 1")
    assert text_of(raw, rows[1].ids).endswith("word199")
    assert rows[2].ids.tolist() == [101, *range(1040, 1050), 102]
