from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.cards.schema import GraphInput, GraphOutput, InputRole, OutputRole, TensorSpec
from gateway.errors import ConfigurationError, InvalidVector
from gateway.service.model_call import EmbeddingCall, pad
from gateway.triton.engine import InferCall, Tensor
from gateway.types import TokenRow
from tests.support.scripted_engine import ScriptedEngine, vector_of
from tests.support.tiny_models import tiny_card

ROWS = [TokenRow(np.array(ids)) for ids in ([5, 6, 7], [8], [9, 1])]


@given(st.lists(st.lists(st.integers(1, 99), min_size=1, max_size=9), min_size=1, max_size=6))
def test_padding_adds_the_pad_id_on_the_right_only(rows: list[list[int]]) -> None:
    ids, mask = pad([np.array(row, dtype=np.int64) for row in rows], pad_id=77)
    longest = max(map(len, rows))
    assert ids.tolist() == [row + [77] * (longest - len(row)) for row in rows]
    assert mask.tolist() == [[1] * len(row) + [0] * (longest - len(row)) for row in rows]
    assert (ids.dtype, mask.dtype) == (np.int64, np.int64)


async def test_the_pooled_output_is_asked_for_alone(tmp_path: Path) -> None:
    engine = ScriptedEngine(states={"tiny": "READY"})
    result = await EmbeddingCall(tiny_card(tmp_path), engine)(ROWS, timeout_seconds=1)
    np.testing.assert_allclose(result.values, [vector_of(row.ids) for row in ROWS], rtol=0, atol=1e-6)
    assert engine.calls[0].outputs == ("embedding",)
    assert list(engine.calls[0].inputs) == ["input_ids", "attention_mask"]


class Answering(ScriptedEngine):
    """Gives one fixed answer and keeps the call."""

    def __init__(self, answer: Tensor) -> None:
        super().__init__()
        self.answer = answer

    async def infer(self, call: InferCall, *, timeout_seconds: float) -> dict[str, Tensor]:
        self.calls.append(call)
        return dict.fromkeys(call.outputs, self.answer)


async def test_token_vectors_are_pooled_here_and_inputs_follow_their_roles(tmp_path: Path) -> None:
    card = tiny_card(tmp_path)
    triton = replace(
        card.triton,
        inputs=(
            GraphInput(TensorSpec("types", "TYPE_INT64", (-1, -1)), InputRole.TOKEN_TYPE_IDS),
            GraphInput(TensorSpec("mask", "TYPE_INT32", (-1, -1)), InputRole.ATTENTION_MASK),
            GraphInput(TensorSpec("ids", "TYPE_INT32", (-1, -1)), InputRole.TOKEN_IDS),
        ),
        outputs=(GraphOutput(TensorSpec("hidden", "TYPE_FP32", (-1, -1, 8)), OutputRole.TOKEN_EMBEDDINGS),),
    )
    hidden = np.random.default_rng(1).normal(size=(3, 3, 8)).astype(np.float32)
    engine = Answering(hidden)
    last = replace(card, triton=triton, vectors=replace(card.embedding, pooling="last_token"))
    result = await EmbeddingCall(last, engine)(ROWS, timeout_seconds=1)
    expected = np.stack([hidden[0, 2], hidden[1, 0], hidden[2, 1]])
    np.testing.assert_allclose(
        result.values, expected / np.linalg.norm(expected, axis=1, keepdims=True), rtol=0, atol=1e-6
    )
    inputs = engine.calls[0].inputs
    assert inputs["ids"].tolist() == [[5, 6, 7], [8, 0, 0], [9, 1, 0]]
    assert {name: tensor.dtype.name for name, tensor in inputs.items()} == {
        "types": "int64",
        "mask": "int32",
        "ids": "int32",
    }
    assert not inputs["types"].any()


async def test_bad_rows_are_named_and_good_ones_stay(tmp_path: Path) -> None:
    answer = np.stack([vector_of([1]), np.full(8, np.nan, np.float32), vector_of([2])])
    result = await EmbeddingCall(tiny_card(tmp_path), Answering(answer))(ROWS, timeout_seconds=1)
    assert list(result.invalid) == [1]
    np.testing.assert_allclose(np.stack(result.values)[[0, 2]], answer[[0, 2]], rtol=0, atol=1e-6)


@pytest.mark.parametrize("shape", [(3, 9), (2, 8), (3, 1, 8)])
async def test_a_wrong_shape_condemns_the_call(tmp_path: Path, shape: tuple[int, ...]) -> None:
    with pytest.raises(InvalidVector, match="shape"):
        await EmbeddingCall(tiny_card(tmp_path), Answering(np.ones(shape, np.float32)))(ROWS, timeout_seconds=1)


def test_a_card_without_embeddings_is_refused(tmp_path: Path) -> None:
    card = tiny_card(tmp_path)
    with pytest.raises(ConfigurationError):
        EmbeddingCall(replace(card, triton=replace(card.triton, outputs=())), ScriptedEngine())
