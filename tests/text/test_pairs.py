from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from gateway.cards.schema import RerankSpec
from gateway.errors import ConfigurationError
from gateway.text.pairs import PairWindow, longest_first
from gateway.text.tokenizer import TextTokenizer, Tokenized
from gateway.types import Int64Array
from tests.support.tiny_tokenizer import tiny_tokenizer
from tests.support.twins.tokenizer_files import xlm_roberta

MAX_TOKENS = 40
texts = st.text("the cat 你好 é🙂\n", max_size=90)
ids = st.lists(st.integers(4, 60), max_size=300).map(lambda some: np.array(some, dtype=np.int64))


def bert() -> Tokenizer:
    tokenizer = tiny_tokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    return tokenizer


KINDS = {"xlm-roberta": xlm_roberta, "bert": bert}


def window(kind: str = "xlm-roberta", *, max_tokens: int = MAX_TOKENS, spec: RerankSpec | None = None) -> PairWindow:
    tokenizer = TextTokenizer(KINDS[kind](), max_tokens=max_tokens, max_text_bytes=10**6)
    return PairWindow.of(tokenizer, spec or RerankSpec())


def bare(tokenizer: Tokenizer, text: str) -> Int64Array:
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return np.array(tokenizer.encode(text, add_special_tokens=False).ids, dtype=np.int64)


def tokenized(some: Int64Array) -> Tokenized:
    return Tokenized(ids=some, token_count=len(some))


def own_pair(tokenizer: Tokenizer, query: str, document: str, *, cut_to: int | None = None) -> list[int]:
    """The tokenizer's own row for a pair: what a reranker was trained on."""
    tokenizer.no_padding()
    tokenizer.no_truncation()
    if cut_to is not None:
        tokenizer.enable_truncation(max_length=cut_to, strategy="longest_first")
    return list(tokenizer.encode(query, document).ids)


def test_the_special_tokens_are_those_of_the_tokenizers_own_template() -> None:
    xlm = window("xlm-roberta").specials
    assert [part.tolist() for part in (xlm.before, xlm.between, xlm.after)] == [[0], [2, 2], [2]]
    own = window("bert").specials
    assert [part.tolist() for part in (own.before, own.between, own.after)] == [[2], [3], [3]]


@pytest.mark.parametrize("kind", KINDS)
@given(query=texts, document=texts)
def test_a_pair_that_fits_is_the_tokenizers_own(kind: str, query: str, document: str) -> None:
    tokenizer = KINDS[kind]()
    whole = own_pair(tokenizer, query, document)
    query_ids, document_ids = bare(tokenizer, query), bare(tokenizer, document)
    pairs = window(kind, max_tokens=200)
    assume(len(whole) <= 200 and len(query_ids) <= pairs.max_query_tokens)
    [row] = pairs.pieces(query_ids, document_ids)
    assert row.tolist() == pairs.truncated(tokenized(query_ids), tokenized(document_ids)).tolist() == whole


@pytest.mark.parametrize("kind", KINDS)
@given(query=texts, document=texts, max_tokens=st.integers(8, 60))
def test_truncating_is_the_tokenizers_own_longest_first(kind: str, query: str, document: str, max_tokens: int) -> None:
    tokenizer = KINDS[kind]()
    query_ids, document_ids = bare(tokenizer, query), bare(tokenizer, document)
    row = window(kind, max_tokens=max_tokens).truncated(tokenized(query_ids), tokenized(document_ids))
    assert row.tolist() == own_pair(tokenizer, query, document, cut_to=max_tokens)


@given(first=st.integers(0, 40), second=st.integers(0, 40), most=st.integers(0, 60))
def test_longest_first_takes_from_the_longer_one(first: int, second: int, most: int) -> None:
    left, right = longest_first(first, second, most=most)
    assert left + right == min(first + second, most)
    assert left <= first
    assert right <= second
    if left < first:
        assert left >= right - 1
    if right < second:
        assert right >= left - 1


@given(query=ids, document=ids, max_tokens=st.integers(8, 80), overlap=st.integers(0, 100))
def test_pieces_cover_the_document_and_never_leave_the_window(
    query: Int64Array, document: Int64Array, max_tokens: int, overlap: int
) -> None:
    pairs = window(max_tokens=max_tokens, spec=RerankSpec(overlap_tokens=overlap))
    kept = query[: pairs.max_query_tokens].tolist()
    rows = [row.tolist() for row in pairs.pieces(query, document)]
    head = [0, *kept, 2, 2]
    room = max_tokens - len(head) - 1
    assert all(len(row) <= max_tokens and row[: len(head)] == head and row[-1] == 2 for row in rows)
    parts = [row[len(head) : -1] for row in rows]
    shared = min(overlap, room // 4)
    joined = parts[0]
    for part in parts[1:-1]:
        assert len(part) == room
        assert part[:shared] == joined[len(joined) - shared :]
        joined += part[shared:]
    if len(parts) > 1:
        assert len(parts[-1]) == room, "the last piece is as long as the others"
        new = len(document) - len(joined)
        assert 0 < new <= room - shared
        assert parts[-1][: room - new] == joined[len(joined) - (room - new) :]
        joined += parts[-1][room - new :]
    assert joined == document.tolist()


@pytest.mark.parametrize("document_tokens", [1014, 1015, 3000])
def test_the_published_defaults(document_tokens: int) -> None:
    """max_length 1024, max_query_length 512, overlap_tokens 80, as in the reranker's own `rerank`."""
    pairs = window(max_tokens=1024)
    query, document = np.full(6, 5), np.arange(document_tokens) + 100
    query_with_specials = 1 + 6 + 1
    budget = 1024 - query_with_specials - 2
    starts = [0] if document_tokens <= budget else [*range(0, document_tokens - budget, budget - 80)]
    starts += [document_tokens - budget] if document_tokens > budget else []
    rows = pairs.pieces(query, document)
    assert [row[9] - 100 for row in rows] == starts
    assert len(pairs.pieces(np.full(2000, 5), document)[0]) == min(1024, 512 + 2 + document_tokens)


def test_a_small_window_leaves_half_of_itself_to_the_document() -> None:
    pairs = window(max_tokens=64)
    [row, *_] = pairs.pieces(np.full(600, 5), np.full(600, 6))
    assert (int((row == 5).sum()), int((row == 6).sum())) == (30, 30)


def test_a_tokenizer_without_a_template_for_pairs_is_refused() -> None:
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    byte_level = Tokenizer(models.BPE({letter: place for place, letter in enumerate(alphabet)}, []))
    byte_level.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    for tokenizer in (byte_level, tiny_tokenizer()):
        with pytest.raises(ConfigurationError, match="no special token between") as refused:
            PairWindow.of(TextTokenizer(tokenizer, max_tokens=40, max_text_bytes=1000), RerankSpec())
        assert refused.value.remedy is not None


@pytest.mark.parametrize(("max_tokens", "max_query_tokens"), [(5, 512), (40, 2)])
def test_a_window_without_room_is_refused(max_tokens: int, max_query_tokens: int) -> None:
    with pytest.raises(ConfigurationError, match="no room for a pair"):
        window(max_tokens=max_tokens, spec=RerankSpec(max_query_tokens=max_query_tokens))
