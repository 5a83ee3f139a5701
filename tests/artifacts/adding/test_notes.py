"""What an operator is told beside the facts."""

from __future__ import annotations

import pytest

from gateway.artifacts.adding.notes import notes_on_cutting, notes_on_licence, notes_on_pooling, notes_on_vectors
from gateway.artifacts.adding.published import Fact


def test_an_assumed_pooling_is_told_with_where_to_look() -> None:
    assumed = Fact("mean", "assumed: no modules.json")
    (note,) = notes_on_pooling(assumed, has_stages=False, made_from=("BAAI/bge-small-en-v1.5",))
    assert "mean, is assumed" in note
    assert "Compare with BAAI/bge-small-en-v1.5, which it was made from; --pooling" in note
    (note,) = notes_on_pooling(assumed, has_stages=False, made_from=())
    assert "Compare with its authors' description" in note
    assert list(notes_on_pooling(Fact("mean", "1_Pooling/config.json"), has_stages=True, made_from=())) == []
    assert list(notes_on_pooling(Fact("cls", "--pooling"), has_stages=False, made_from=())) == []
    (note,) = notes_on_pooling(Fact("in_graph", "x"), has_stages=False, made_from=())
    assert "no late chunking" in note


def test_vectors_that_their_authors_leave_longer_or_cut_are_told() -> None:
    (note,) = notes_on_vectors({"similarity_fn_name": "dot"}, normalizes=False)
    assert "normalized=false" in note
    (note,) = notes_on_vectors({"truncate_dim": 64}, normalizes=True)
    assert "dimensions=64" in note
    for sentence, normalizes in (({"similarity_fn_name": "dot"}, True), ({"similarity_fn_name": "cosine"}, False)):
        assert list(notes_on_vectors(sentence, normalizes=normalizes)) == []


def test_a_tokenizer_that_cuts_the_beginning_is_told() -> None:
    (note,) = notes_on_cutting(Fact({"truncation_side": "left"}, "t"))
    assert "at its end" in note
    assert list(notes_on_cutting(Fact({"truncation_side": "right"}, "t"))) == []


@pytest.mark.parametrize(
    ("licence", "word"), [("unknown", "Ask its authors"), ("CC-BY-NC-4.0", "forbids commercial use"), ("MIT", None)]
)
def test_a_licence_that_needs_care_is_told(licence: str, word: str | None) -> None:
    notes = list(notes_on_licence(licence))
    assert (len(notes), word is None or word in notes[0]) == (int(word is not None), True)
