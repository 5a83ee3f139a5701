"""Answers stay below the limit as the runpod package writes them, and nothing that fits is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.dialects.embeddings_request import Encoding
from gateway.dialects.runpod_embeddings import embeddings_json
from gateway.dialects.runpod_output_size import OutputBudget, refuse_hopeless
from gateway.errors import InvalidField
from gateway.types import EmbedResult, Usage

ENCODINGS = st.lists(st.sampled_from(list(Encoding)), min_size=1, max_size=4, unique=True)
NONE = Usage(prompt_tokens=1, total_tokens=1)


def result_of(rows: int, size: int, seed: int = 0) -> EmbedResult:
    vectors = np.random.default_rng(seed).standard_normal((rows, size)).astype(np.float32)
    return EmbedResult(model="m", vectors=vectors / np.linalg.norm(vectors, axis=1, keepdims=True), usage=NONE)


def embeddings_output(result: EmbedResult, encodings: list[Encoding], *, model: str, max_bytes: int) -> object:
    return json.loads(embeddings_json(result, encodings, model=model, max_bytes=max_bytes))


def sent(output: object) -> int:
    """What the runpod package puts on the wire for it."""
    return len(json.dumps({"output": output}, ensure_ascii=False).encode())


@settings(max_examples=60, deadline=None)
@given(rows=st.integers(1, 20), size=st.integers(8, 300), encodings=ENCODINGS, limit=st.integers(2_000, 60_000))
def test_what_is_let_through_is_small_enough_on_the_wire(
    rows: int, size: int, encodings: list[Encoding], limit: int
) -> None:
    whole = sent(embeddings_output(result_of(rows, size), encodings, model="m", max_bytes=10**9))
    try:
        output = embeddings_output(result_of(rows, size), encodings, model="m", max_bytes=limit)
    except InvalidField:
        assert whole > limit * 0.9 - 2_000
    else:
        assert sent(output) == whole <= limit


@settings(max_examples=60, deadline=None)
@given(rows=st.integers(1, 20), size=st.integers(8, 300), encodings=ENCODINGS, seed=st.integers(0, 9))
def test_nothing_that_fits_is_refused_beforehand(rows: int, size: int, encodings: list[Encoding], seed: int) -> None:
    whole = sent(embeddings_output(result_of(rows, size, seed), encodings, model="m", max_bytes=10**9))
    refuse_hopeless(vectors=rows, dimensions=size, encodings=encodings, max_bytes=whole)


@pytest.mark.parametrize("encoding", [Encoding.FLOAT, Encoding.BASE64])
def test_2048_vectors_of_2048_do_not_fit_into_20_mb(encoding: Encoding) -> None:
    with pytest.raises(InvalidField, match="20 MB that RunPod carries"):
        refuse_hopeless(vectors=2048, dimensions=2048, encodings=[encoding], max_bytes=20_000_000)
    refuse_hopeless(vectors=2048, dimensions=2048, encodings=[Encoding.BINARY], max_bytes=20_000_000)


def test_a_budget_ends_where_it_is_spent() -> None:
    budget = OutputBudget(1_100)
    assert budget.add(b"1,2") == b"1,2"
    with pytest.raises(InvalidField):
        budget.add(b"," * 40)
