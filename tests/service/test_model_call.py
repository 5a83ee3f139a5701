from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gateway.cards.schema import Card
from gateway.cards.triton_spec import GraphInput, GraphOutput, InputRole, OutputRole, TensorSpec
from gateway.errors import ConfigurationError, InvalidVector
from gateway.service.model_call import TritonCall
from gateway.triton.engine import InferCall, Tensor
from gateway.types import RowGroup, RowOutput, TokenRow
from tests.support.scripted_engine import ScriptedEngine, vector_of
from tests.support.tiny_models import adapter_card, reranker_card, tiny_card

IDS = ([5, 6, 7], [8], [9, 1])
LENGTHS = [len(ids) for ids in IDS]


def rows(output: RowOutput = RowOutput.VECTOR, *, adapter: int | None = None, spans: object = None) -> list[TokenRow]:
    group = RowGroup(adapter, output)
    return [TokenRow(np.array(ids), group=group, spans=None if spans is None else np.array(spans)) for ids in IDS]


ROWS = rows()


class Answering(ScriptedEngine):
    """Gives one fixed answer and keeps the call."""

    def __init__(self, answer: Tensor) -> None:
        super().__init__()
        self.answer = answer

    async def infer(self, call: InferCall, *, timeout_seconds: float) -> dict[str, Tensor]:
        self.calls.append(call)
        return dict.fromkeys(call.outputs, self.answer)


def with_outputs(card: Card, *outputs: tuple[str, OutputRole]) -> Card:
    made = tuple(GraphOutput(TensorSpec(name, "TYPE_FP32", (-1, 8)), role) for name, role in outputs)
    return replace(card, triton=replace(card.triton, outputs=made))


def with_pooling(card: Card, pooling: str) -> Card:
    return replace(card, vectors=replace(card.embedding, pooling=pooling))


def hidden(seed: int = 1) -> Tensor:
    """Token vectors; where a row is padded they hold what must not be seen."""
    drawn = np.random.default_rng(seed).normal(size=(3, 3, 8)).astype(np.float32)
    for place, length in enumerate(LENGTHS):
        drawn[place, length:] = np.nan
    return drawn


def unit(vectors: Sequence[np.ndarray] | np.ndarray) -> np.ndarray:
    wide = np.asarray(vectors, dtype=np.float64)
    return wide / np.linalg.norm(wide, axis=1, keepdims=True)


async def test_the_pooled_output_is_asked_for_alone(tmp_path: Path) -> None:
    engine = ScriptedEngine(states={"tiny": "READY"})
    result = await TritonCall(tiny_card(tmp_path), engine)(ROWS, timeout_seconds=1)
    np.testing.assert_allclose(result.values, [vector_of(ids) for ids in IDS], rtol=0, atol=1e-6)
    assert engine.calls[0].outputs == ("embedding",)
    assert list(engine.calls[0].inputs) == ["input_ids", "attention_mask"]


async def test_inputs_follow_their_roles_whatever_their_names_types_and_order(tmp_path: Path) -> None:
    card = tiny_card(tmp_path)
    triton = replace(
        card.triton,
        inputs=(
            GraphInput(TensorSpec("types", "TYPE_INT64", (-1, -1)), InputRole.TOKEN_TYPE_IDS),
            GraphInput(TensorSpec("mask", "TYPE_INT32", (-1, -1)), InputRole.ATTENTION_MASK),
            GraphInput(TensorSpec("places", "TYPE_INT32", (-1, -1)), InputRole.POSITION_IDS),
            GraphInput(TensorSpec("task", "TYPE_INT64", (1,)), InputRole.ADAPTER),
            GraphInput(TensorSpec("ids", "TYPE_INT32", (-1, -1)), InputRole.TOKEN_IDS),
        ),
    )
    engine = Answering(np.ones((3, 8), np.float32))
    await TritonCall(replace(card, triton=triton), engine)(rows(adapter=3), timeout_seconds=1)
    inputs = engine.calls[0].inputs
    assert {name: (tensor.dtype.name, tensor.tolist()) for name, tensor in inputs.items()} == {
        "types": ("int64", [[0, 0, 0]] * 3),
        "mask": ("int32", [[1, 1, 1], [1, 0, 0], [1, 1, 0]]),
        "places": ("int32", [[0, 1, 2]] * 3),
        "task": ("int64", [3]),
        "ids": ("int32", [[5, 6, 7], [8, 0, 0], [9, 1, 0]]),
    }


async def test_a_call_has_one_adapter_or_is_not_made(tmp_path: Path) -> None:
    engine = ScriptedEngine(states={"adapters": "READY"})
    call = TritonCall(adapter_card(tmp_path), engine)
    with pytest.raises(ValueError, match="several groups"):
        await call([*rows(adapter=0), *rows(adapter=1)], timeout_seconds=1)
    for adapter in (None, -1):  # -1 is taken by the graph, for its last adapter
        with pytest.raises(ValueError, match="number of an adapter"):
            await call(rows(adapter=adapter), timeout_seconds=1)
    assert engine.calls == []


@pytest.mark.parametrize(
    ("pooling", "expected"),
    [
        ("mean", lambda h: [h[0].mean(axis=0), h[1, 0], h[2, :2].mean(axis=0)]),
        ("last_token", lambda h: [h[0, 2], h[1, 0], h[2, 1]]),
        ("cls", lambda h: h[:, 0]),
    ],
)
async def test_token_vectors_are_pooled_here_without_their_padding(
    tmp_path: Path, pooling: str, expected: object
) -> None:
    card = with_pooling(with_outputs(tiny_card(tmp_path), ("hidden", OutputRole.TOKEN_EMBEDDINGS)), pooling)
    wanted = expected(hidden())  # type: ignore[operator]
    result = await TritonCall(card, Answering(hidden()))(ROWS, timeout_seconds=1)
    np.testing.assert_allclose(result.values, unit(wanted), rtol=0, atol=1e-6)
    result = await TritonCall(card, Answering(hidden()))(rows(RowOutput.RAW_VECTOR), timeout_seconds=1)
    np.testing.assert_allclose(result.values, np.stack(wanted), rtol=0, atol=1e-6)


BOTH = (("pooled", OutputRole.SENTENCE_EMBEDDING), ("hidden", OutputRole.TOKEN_EMBEDDINGS))


@pytest.mark.parametrize(
    ("output", "name"),
    [(RowOutput.VECTOR, "pooled"), (RowOutput.RAW_VECTOR, "hidden"), (RowOutput.SPAN_SUMS, "hidden")],
)
async def test_the_role_of_an_output_decides_and_not_its_place(tmp_path: Path, output: RowOutput, name: str) -> None:
    for order in (BOTH, BOTH[::-1]):
        engine = Answering(np.ones((3, 8) if name == "pooled" else (3, 3, 8), np.float32))
        card = with_outputs(tiny_card(tmp_path), *order)
        await TritonCall(card, engine)(rows(output, spans=[[0, 1]]), timeout_seconds=1)
        assert engine.calls[0].outputs == (name,)


async def test_sums_over_spans_are_in_float64_and_an_empty_span_is_zero(tmp_path: Path) -> None:
    card = with_outputs(tiny_card(tmp_path), *BOTH)
    answer = hidden()
    answer[0, 0] = 1e8
    answer[0, 1] = 1.0
    answer[0, 2] = -1e8
    given = [
        TokenRow(np.array(ids), group=RowGroup(output=RowOutput.SPAN_SUMS), spans=np.array(spans))
        for ids, spans in zip(IDS, ([[0, 3], [1, 2], [3, 3]], [[0, 1]], [[0, 2]]), strict=True)
    ]
    result = await TritonCall(card, Answering(answer))(given, timeout_seconds=1)
    assert [value.dtype.name for value in result.values] == ["float64"] * 3
    np.testing.assert_array_equal(result.values[0], [[1.0] * 8, [1.0] * 8, [0.0] * 8])
    np.testing.assert_allclose(result.values[1], answer[1, :1], rtol=0, atol=1e-6)
    np.testing.assert_allclose(result.values[2], answer[2, :2].sum(axis=0)[None], rtol=0, atol=1e-6)
    assert not result.invalid


async def test_large_answers_are_read_in_a_thread_with_the_same_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = with_outputs(tiny_card(tmp_path), *BOTH)
    given = rows(RowOutput.RAW_VECTOR)
    inline = await TritonCall(card, Answering(hidden()))(given, timeout_seconds=1)
    monkeypatch.setattr("gateway.service.model_call.INLINE_BYTES", 0)
    threaded = await TritonCall(card, Answering(hidden()))(given, timeout_seconds=1)
    np.testing.assert_array_equal(inline.values, threaded.values)


async def test_a_rerankers_logits(tmp_path: Path) -> None:
    engine = Answering(np.array([[0.0], [np.inf], [-3.5]], np.float32))
    result = await TritonCall(reranker_card(tmp_path), engine)(rows(RowOutput.LOGIT), timeout_seconds=1)
    assert engine.calls[0].outputs == ("logit",)
    assert list(engine.calls[0].inputs) == ["input_ids", "attention_mask"]
    assert list(result.invalid) == [1]
    assert [result.values[place].tolist() for place in (0, 2)] == [[0.0], [-3.5]]
    assert result.values[0].dtype == np.float32


@pytest.mark.parametrize("output", [RowOutput.VECTOR, RowOutput.RAW_VECTOR])
@pytest.mark.parametrize("fault", [np.nan, np.inf, 0.0])
async def test_bad_rows_are_named_and_good_ones_stay(tmp_path: Path, output: RowOutput, fault: float) -> None:
    answer = np.stack([vector_of([1]), np.full(8, fault, np.float32), vector_of([2])])
    result = await TritonCall(tiny_card(tmp_path), Answering(answer))(rows(output), timeout_seconds=1)
    assert list(result.invalid) == [1]
    np.testing.assert_allclose(np.stack(result.values)[[0, 2]], answer[[0, 2]], rtol=0, atol=1e-6)


async def test_token_vectors_that_are_not_finite_spoil_their_own_rows_sums_only(tmp_path: Path) -> None:
    card = with_outputs(tiny_card(tmp_path), *BOTH)
    answer = hidden()
    answer[2, 0, 3] = np.nan
    given = rows(RowOutput.SPAN_SUMS, spans=[[0, 1]])
    result = await TritonCall(card, Answering(answer))(given, timeout_seconds=1)
    assert list(result.invalid) == [2]


@pytest.mark.parametrize("shape", [(3, 9), (2, 8), (3, 1, 8)])
async def test_a_wrong_shape_condemns_the_call(tmp_path: Path, shape: tuple[int, ...]) -> None:
    for output in (RowOutput.VECTOR, RowOutput.RAW_VECTOR):
        with pytest.raises(InvalidVector, match="shape"):
            await TritonCall(tiny_card(tmp_path), Answering(np.ones(shape, np.float32)))(
                rows(output), timeout_seconds=1
            )


@pytest.mark.parametrize("shape", [(3, 8), (3, 2, 8), (3, 3, 9), (2, 3, 8)])
async def test_token_vectors_of_a_wrong_shape_condemn_the_call(tmp_path: Path, shape: tuple[int, ...]) -> None:
    card = with_outputs(tiny_card(tmp_path), *BOTH)
    for output in (RowOutput.RAW_VECTOR, RowOutput.SPAN_SUMS):
        with pytest.raises(InvalidVector, match="shape"):
            await TritonCall(card, Answering(np.ones(shape, np.float32)))(
                rows(output, spans=[[0, 1]]), timeout_seconds=1
            )


@pytest.mark.parametrize("shape", [(3,), (3, 2), (1, 3)])
async def test_logits_of_a_wrong_shape_condemn_the_call(tmp_path: Path, shape: tuple[int, ...]) -> None:
    with pytest.raises(InvalidVector, match="shape"):
        await TritonCall(reranker_card(tmp_path), Answering(np.ones(shape, np.float32)))(
            rows(RowOutput.LOGIT), timeout_seconds=1
        )


def test_a_card_without_the_output_of_its_kind_is_refused(tmp_path: Path) -> None:
    for card in (with_outputs(tiny_card(tmp_path)), with_outputs(reranker_card(tmp_path), *BOTH)):
        with pytest.raises(ConfigurationError):
            TritonCall(card, ScriptedEngine())
