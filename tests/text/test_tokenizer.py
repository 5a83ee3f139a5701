from __future__ import annotations

import threading
import time
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models
from tokenizers.decoders import ByteLevel as ByteLevelDecoder
from tokenizers.pre_tokenizers import ByteLevel

from gateway.errors import ConfigurationError, InvalidField, TokenLimitExceeded
from gateway.text.tokenizer import TextTokenizer, Tokenized, check_text, token_row, utf8_length
from gateway.types import Overflow
from tests.conftest import BUNDLED_MODEL, REPOSITORY, missing_bundled_model, need
from tests.support.tiny_tokenizer import CLS, SEP, VOCABULARY, WORDS, tiny_tokenizer
from tests.support.tokenizer_kinds import KINDS

MAX_TOKENS = 12
texts = st.lists(
    st.sampled_from([*WORDS, "unbelievable", "[SEP]", "[MASK]", "é", " ", "\n", "zebra"]), max_size=30
).map(" ".join)


@pytest.fixture(scope="module")
def tiny() -> TextTokenizer:
    return TextTokenizer(tiny_tokenizer(), max_tokens=MAX_TOKENS, max_text_bytes=1024)


@pytest.fixture(scope="module")
def minilm() -> TextTokenizer:
    need(missing_bundled_model())
    path = REPOSITORY / BUNDLED_MODEL / "1" / "tokenizer.json"
    return TextTokenizer.from_file(path, max_tokens=256, max_text_bytes=256 * 1024)


def test_baked_in_truncation_and_padding_are_off(tiny: TextTokenizer) -> None:
    short, long = tiny.encode(["the cat", "the cat sat on a mat"])
    assert short.ids.tolist() == [CLS, VOCABULARY["the"], VOCABULARY["cat"], SEP]
    assert len(long.ids) == long.token_count == 8
    assert short.ids.dtype == np.int64


def test_an_empty_text_is_the_special_tokens_alone(tiny: TextTokenizer) -> None:
    assert tiny.encode([""])[0].ids.tolist() == [CLS, SEP]


@given(st.lists(texts, max_size=8))
def test_a_cut_is_what_the_tokenizers_own_truncation_gives(some: list[str]) -> None:
    own = tiny_tokenizer()
    own.no_padding()
    own.enable_truncation(max_length=MAX_TOKENS)
    whole = tiny_tokenizer()
    whole.no_padding()
    whole.no_truncation()
    tokenizer = TextTokenizer(tiny_tokenizer(), max_tokens=MAX_TOKENS, max_text_bytes=1024)
    for text, tokenized in zip(some, tokenizer.encode(some), strict=True):
        assert tokenized.ids.tolist() == own.encode(text).ids
        assert tokenized.token_count == len(whole.encode(text).ids)
        assert not tokenized.at_least


@given(
    st.lists(st.sampled_from(["cat", "unbelievable", "unbelievablez", "漢", "zebra-", "é", "!"]), max_size=20),
    st.integers(1, 60),
)
@example(words=["the"] * 9 + ["unbelievablez"], prefix_bytes=9 * 4 + len("unbelievable"))
def test_a_long_text_is_judged_by_its_beginning_as_by_the_whole(words: list[str], prefix_bytes: int) -> None:
    text = " ".join(words)
    whole = TextTokenizer(tiny_tokenizer(), max_tokens=MAX_TOKENS, max_text_bytes=10**6).encode([text])[0]
    sizes = {"_SMALLEST_PREFIX_BYTES": prefix_bytes, "_PREFIX_BYTES_PER_TOKEN": 0, "_PREFIX_GROWTH": 2}
    with patch.multiple("gateway.text.tokenizer", **sizes):
        judged = TextTokenizer(tiny_tokenizer(), max_tokens=MAX_TOKENS, max_text_bytes=1).encode([text])[0]
    assert judged.ids.tolist() == whole.ids.tolist()
    assert judged.token_count <= whole.token_count
    assert (judged.token_count > MAX_TOKENS) == (whole.token_count > MAX_TOKENS)


@pytest.mark.parametrize("letters", ["cat", "\N{LATIN SMALL LETTER E WITH ACUTE}" * 3, "\N{GRINNING FACE}" * 9])
def test_long_is_what_has_more_bytes_than_may_be(letters: str) -> None:
    text = f"{letters} " * 6000
    size = len(text.encode())

    def judged_by_its_beginning(most: int) -> bool:
        tokenizer = TextTokenizer(tiny_tokenizer(), max_tokens=MAX_TOKENS, max_text_bytes=most)
        return tokenizer.encode([text])[0].at_least

    assert [judged_by_its_beginning(most) for most in (size - 1, size)] == [True, False]


@given(
    st.lists(st.sampled_from(["cat", "unbelievable", "[SEP]", "漢", "zebra-", "é"]), max_size=20), st.integers(1, 30)
)
def test_bare_ids_have_no_special_tokens_and_are_cut_alike_however_long_the_text_is(
    words: list[str], most: int
) -> None:
    text = " ".join(words)
    own = tiny_tokenizer()
    own.no_padding()
    own.no_truncation()
    ids = own.encode(text, add_special_tokens=False).ids
    whole = TextTokenizer(tiny_tokenizer(), max_tokens=MAX_TOKENS, max_text_bytes=10**6)
    with patch.multiple("gateway.text.tokenizer", _SMALLEST_PREFIX_BYTES=20, _DOCUMENT_BYTES_PER_TOKEN=0):
        judged = TextTokenizer(tiny_tokenizer(), max_tokens=MAX_TOKENS, max_text_bytes=1)
        results = [*whole.encode_bare(["cat", text], most=most)[1:], *judged.encode_bare([text], most=most)]
    assert [result.ids.tolist() for result in results] == [ids[:most]] * 2
    assert [min(result.token_count, most + 1) for result in results] == [min(len(ids), most + 1)] * 2


def test_bare_ids_of_a_very_long_text_do_not_need_all_of_it(tiny: TextTokenizer) -> None:
    long, short = tiny.encode_bare(["the cat sat " * 100_000, "the cat"], most=100)
    assert (len(long.ids), long.at_least) == (100, True)
    assert 100 < long.token_count < 20_000
    assert short.ids.tolist() == [VOCABULARY["the"], VOCABULARY["cat"]]


def test_only_a_text_that_a_part_shows_to_be_over_the_limit_is_counted(tiny: TextTokenizer) -> None:
    over, fits, unclear = tiny.counts_above(["cat " * 200_000, "cat " * 5, "a" * 100_000], limit=1000)
    assert 1000 < over < 200_000
    assert (fits, unclear) == (0, 0)


@given(st.text("the cat é漢!e\u0301 \n", max_size=60))
def test_offsets_are_the_tokenizers_own(text: str) -> None:
    own = tiny_tokenizer()
    own.no_padding()
    own.no_truncation()
    encoding = own.encode(text)
    with patch("gateway.text.tokenizer._OFFSETS_PER_RUN", 4):
        tokenizer = TextTokenizer(tiny_tokenizer(), max_tokens=MAX_TOKENS, max_text_bytes=1024)
        [tokens] = tokenizer.encode_with_offsets([text])
    assert tokens.ids.tolist() == encoding.ids
    assert list(map(tuple, tokens.offsets.tolist())) == encoding.offsets[1:-1]
    assert (tokens.leading, tokens.trailing) == (1, 1)


def test_a_text_without_a_token_is_refused() -> None:
    """Qwen's kind of tokenizer adds no special tokens, so an empty text has none at all."""
    empty, fits = TextTokenizer(KINDS["byte level"](), max_tokens=9, max_text_bytes=99).encode(["", "a"])
    with pytest.raises(InvalidField, match="Input 3 has no token"):
        token_row(empty, overflow=Overflow.TRUNCATE, max_tokens=9, index=3)
    assert token_row(fits, overflow=Overflow.REFUSE, max_tokens=9, index=0).token_count == 1


def test_a_very_long_text_is_not_read_to_its_end(tiny: TextTokenizer) -> None:
    judged, short = tiny.encode(["the cat sat " * 100_000, "the cat"])
    assert judged.at_least
    assert MAX_TOKENS < judged.token_count < 20_000
    assert len(judged.ids) == MAX_TOKENS
    assert judged.ids[-1] == SEP
    assert short.token_count == 4


def test_a_long_text_of_one_word_is_read_to_its_end_before_it_is_judged(tiny: TextTokenizer) -> None:
    [judged] = tiny.encode(["z" * 200_000])
    assert judged.ids.tolist() == [CLS, VOCABULARY["[UNK]"], SEP]


@pytest.mark.parametrize("kind", ["xlm-roberta", "byte level", "across words"])
@pytest.mark.parametrize("letter", ["a", "7", "é"])
def test_one_very_long_word_is_cut_as_the_whole_would_be_and_not_read_to_its_end(kind: str, letter: str) -> None:
    """Read whole, 16 MB of one letter are 16 million tokens: a minute, and a second and more without the GIL."""
    tokenizer = TextTokenizer(KINDS[kind](), max_tokens=100, max_text_bytes=1024)
    text = letter * 60_000
    [judged] = tokenizer.encode([text])
    whole = KINDS[kind]().encode(text).ids
    if len(whole) < 60_000:
        assert judged.ids.tolist() == whole  # an unknown letter, however often, is one token
        return
    assert judged.at_least
    assert 100 < judged.token_count < len(whole) / 2
    assert judged.ids.tolist() == tokenizer.cut(np.array(whole)).tolist()
    [bare] = tokenizer.encode_bare([text], most=100)
    assert bare.at_least
    assert bare.ids.tolist() == KINDS[kind]().encode(text, add_special_tokens=False).ids[:100]
    assert tokenizer.counts_above([text], limit=1000)[0] > 1000


def test_a_word_that_is_unknown_as_a_whole_is_not_judged_by_its_beginning() -> None:
    """WordPiece gives a beginning several tokens and the whole, being too long a word, a single one."""
    sizes = {"_SMALLEST_PREFIX_BYTES": 90, "_PREFIX_BYTES_PER_TOKEN": 0}
    with patch.multiple("gateway.text.tokenizer", **sizes):
        [judged] = TextTokenizer(tiny_tokenizer(), max_tokens=4, max_text_bytes=1).encode(["un" + "able" * 60])
    assert judged.token_count == 3


def test_offsets_of_more_tokens_than_are_wanted_are_not_made(tiny: TextTokenizer) -> None:
    over, fits = tiny.encode_with_offsets(["the cat sat", "the cat"], most=4)
    assert (over.token_count, len(over.ids), len(over.offsets)) == (5, 0, 0)
    assert (fits.token_count, len(fits.ids), len(fits.offsets)) == (4, 4, 2)


def test_refusing_names_both_counts_and_the_phrase_clients_look_for() -> None:
    tokenized = Tokenized(ids=np.arange(256), token_count=300)
    with pytest.raises(TokenLimitExceeded) as refused:
        token_row(tokenized, overflow=Overflow.REFUSE, max_tokens=256, index=3)
    message = refused.value.message
    assert "maximum context length is 256 tokens, however you requested 300 tokens in input 3." in message
    assert "Please reduce your prompt; or completion length." in message
    assert refused.value.param == "input"
    at_least = Tokenized(ids=np.arange(256), token_count=300, at_least=True)
    with pytest.raises(TokenLimitExceeded, match="at least 300 tokens"):
        token_row(at_least, overflow=Overflow.REFUSE, max_tokens=256, index=0)


def test_truncating_marks_the_row() -> None:
    tokenized = Tokenized(ids=np.arange(256), token_count=300)
    row = token_row(tokenized, overflow=Overflow.TRUNCATE, max_tokens=256, index=0)
    assert (row.truncated, row.token_count) == (True, 256)
    fitting = token_row(
        Tokenized(ids=np.arange(256), token_count=256), overflow=Overflow.TRUNCATE, max_tokens=256, index=0
    )
    assert not fitting.truncated


@pytest.mark.parametrize("text", ["\ud800", "fine until here \udfff"])
def test_a_lone_surrogate_is_refused_without_repeating_the_text(text: str) -> None:
    with pytest.raises(InvalidField, match="Input 4") as refused:
        check_text(text, index=4, strict_empty=False)
    assert "fine" not in refused.value.message


def test_empty_texts_are_refused_only_where_that_is_asked_for() -> None:
    check_text("", index=0, strict_empty=False)
    check_text(" ", index=0, strict_empty=True)
    with pytest.raises(InvalidField):
        check_text("", index=0, strict_empty=True)


@given(st.text())
def test_utf8_length_is_the_encoded_length(text: str) -> None:
    assert utf8_length(text) == len(text.encode())


@pytest.mark.parametrize("content", [b"{}", b"\xff\xfe", b"not json"])
def test_a_damaged_tokenizer_file_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "tokenizer.json").write_bytes(content)
    with pytest.raises(ConfigurationError, match=r"tokenizer\.json"):
        TextTokenizer.from_file(tmp_path, max_tokens=256, max_text_bytes=1024)
    with pytest.raises(ConfigurationError, match="cannot be read"):
        TextTokenizer.from_file(tmp_path / "missing.json", max_tokens=256, max_text_bytes=1024)


HOSTILE = {
    "one letter": "a" * 1_000_000,
    "spaces": " " * 1_000_000,
    "NUL": "\0" * 1_000_000,
    "combining marks": "e" + "\u0301" * 100_000,
    "marks out of order": "\u0323\u0301" * 100_000,
    "U+FDFA": "\ufdfa" * 100_000,
    "zero width": "\u200b" * 300_000,
    "byte order marks": "\ufeff" * 100_000,
    "right to left": "\u202e" + "שלום " * 100_000,
    "words": "hello world " * 400_000,
    "punctuation": "!" * 1_000_000,
    "special tokens": "[SEP]" * 100_000,
    "emoji": "👩‍👩‍👧" * 30_000,
}


# Each ends within a second on an idle machine; something quadratic would take many minutes.
@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_texts_end_within_the_window(minilm: TextTokenizer, name: str) -> None:
    [tokenized] = minilm.encode([HOSTILE[name]])
    assert 2 <= len(tokenized.ids) <= 256


def test_the_bundled_tokenizer_reads_past_the_128_tokens_of_its_own_file(minilm: TextTokenizer) -> None:
    [tokenized] = minilm.encode(["cat " * 200])
    assert len(tokenized.ids) == tokenized.token_count == 202


def test_reading_a_long_text_leaves_other_threads_their_turns(tiny: TextTokenizer) -> None:
    """One word of five million letters is never over the window, so it is read to its end, in growing prefixes."""
    longest_pause = 0.0
    done = threading.Event()

    def read() -> None:
        tiny.encode(["a" * 5_000_000])
        done.set()

    reader = threading.Thread(target=read)
    before = started = time.perf_counter()
    reader.start()
    while not done.is_set():
        time.sleep(0.001)
        now = time.perf_counter()
        longest_pause = max(longest_pause, now - before)
        before = now
    reader.join()
    assert longest_pause < max(0.1, (before - started) / 4)


def test_each_token_has_the_text_that_it_stands_for(tiny: TextTokenizer) -> None:
    [read] = tiny.encode(["the unbelievable cat the"])
    assert tiny.token_texts(read.ids) == ["[CLS]", "the", "un", "##believ", "##able", "cat", "the", "[SEP]"]
    assert tiny.token_texts(np.empty(0, np.int64)) == []


def test_a_part_of_a_character_is_marked_as_one(tiny: TextTokenizer) -> None:
    pieces = Tokenizer(models.BPE({letter: place for place, letter in enumerate(ByteLevel.alphabet())}, []))
    pieces.pre_tokenizer, pieces.decoder = ByteLevel(add_prefix_space=False), ByteLevelDecoder()
    tokenizer = TextTokenizer(pieces, max_tokens=12, max_text_bytes=1024)
    [read] = tokenizer.encode(["a é"])
    assert tokenizer.token_texts(read.ids) == ["a", " ", "\ufffd", "\ufffd"]


def test_another_window_over_the_same_tokenizer(tiny: TextTokenizer) -> None:
    wider = tiny.with_window(30)
    text = "cat " * 20
    assert [len(one.encode([text])[0].ids) for one in (tiny, wider)] == [MAX_TOKENS, 22]
