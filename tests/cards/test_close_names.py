"""A slip of the finger is told, and nobody is sent to a model of quite another name."""

from __future__ import annotations

import string
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.cards.close_names import did_you_mean
from gateway.cards.registry import Registry
from gateway.errors import UnknownModel

MODELS = Registry.from_repository(Path(__file__).parents[2] / "model_repository").models
OWN_NAMES = sorted({name for model in MODELS for name in model.names})


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("all-MiniLM-L6-v3", "all-MiniLM-L6-v2"),
        ("ALL-MINLM-L6-V2", "all-MiniLM-L6-v2"),
        ("jina-embedings-v3", "jina-embeddings-v3"),
        ("jina-embeddings-v5-text-nano-retreival", "jina-embeddings-v5-text-nano-retrieval"),
    ],
)
def test_the_closest_name_is_told_by_whoever_looks_it_up(name: str, meant: str) -> None:
    with pytest.raises(UnknownModel, match=rf"does not exist\. Did you mean {meant}\? Known models:"):
        Registry(MODELS).find(name)


@pytest.mark.parametrize("name", ["", "nope", "gpt-4o", "text-embedding-ada-002", "all-MiniLM-L6-v2" * 20])
def test_a_name_that_is_like_none_is_no_slip(name: str) -> None:
    assert did_you_mean(name, MODELS) == ""


def test_of_the_models_that_are_asked_about_only() -> None:
    rerankers = [model for model in MODELS if model.card.reranking is not None]
    assert did_you_mean("all-MiniLM-L6-v3", rerankers) == ""


@given(name=st.sampled_from(OWN_NAMES), data=st.data())
def test_one_letter_too_many_is_seen_through(name: str, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(name)))
    letter = data.draw(st.sampled_from(string.ascii_lowercase))
    assert "Did you mean" in did_you_mean(f"{name[:place]}{letter}{name[place:]}", MODELS)
