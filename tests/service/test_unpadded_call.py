from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.cards.schema import Card
from gateway.cards.triton_spec import OutputRole
from gateway.errors import ConfigurationError, DeviceOutOfMemory, InvalidVector
from gateway.service.calling import call_of
from gateway.service.model_call import TritonCall
from gateway.service.unpadded_call import UnpaddedCall
from gateway.types import RowGroup, RowOutput, TokenRow
from tests.support.scripted_engine import SIZE
from tests.support.tiny_models import tiny_card
from tests.support.unpadded_engine import (
    TOKEN_SIZE,
    UnpaddedEngine,
    hidden_of,
    token_vectors_of,
    unpadded_card,
    vector_of,
)

MODEL = "unpadded"
OUTPUTS = (RowOutput.VECTOR, RowOutput.TOKEN_VECTORS, RowOutput.SPAN_SUMS)
NAMES = {
    RowOutput.VECTOR: "embeddings",
    RowOutput.TOKEN_VECTORS: "token_vectors",
    RowOutput.SPAN_SUMS: "span_sums",
}


@pytest.fixture(scope="module")
def card(tmp_path_factory: pytest.TempPathFactory) -> Card:
    return unpadded_card(tmp_path_factory.mktemp("models"))


@pytest.fixture
def engine() -> UnpaddedEngine:
    return UnpaddedEngine(states={MODEL: "READY"})


def text(
    *ids: int, adapter: int | None = 0, output: RowOutput = RowOutput.VECTOR, spans: list[list[int]] | None = None
) -> TokenRow:
    if output is RowOutput.SPAN_SUMS and spans is None:
        spans = [[0, len(ids)], [0, 1]]
    given_spans = None if spans is None else np.array(spans, dtype=np.int64).reshape(-1, 2)
    return TokenRow(np.array(ids, np.int64), group=RowGroup(output=output), adapter=adapter, spans=given_spans)


def image(height: int, width: int, *, seed: int, adapter: int = 0, output: RowOutput = RowOutput.VECTOR) -> TokenRow:
    dice = np.random.default_rng(seed)
    pixels = dice.integers(0, 256, size=(height, width, 3), dtype=np.uint8)
    ids = np.array([2, *[3] * (height * width // 4), 4, 5], np.int64)
    return TokenRow(ids, group=RowGroup(output=output, images=True), adapter=adapter, pixels=pixels)


def expected(row: TokenRow) -> np.ndarray:
    assert row.adapter is not None
    ids = row.ids.tolist()
    if row.group.output is RowOutput.VECTOR:
        return vector_of(ids, row.adapter, row.pixels)
    if row.group.output is RowOutput.TOKEN_VECTORS:
        return token_vectors_of(ids, row.adapter, row.pixels)
    assert row.spans is not None
    hidden = hidden_of(ids, row.adapter, row.pixels).astype(np.float64)
    return np.array([hidden[start:end].sum(axis=0) for start, end in row.spans]).reshape(-1, SIZE)


@st.composite
def calls(draw: st.DrawFn) -> list[TokenRow]:
    output = draw(st.sampled_from(OUTPUTS))
    if output is not RowOutput.SPAN_SUMS and draw(st.booleans()):
        side = st.integers(1, 4).map(lambda unit: 2 * unit)
        some = draw(st.lists(st.tuples(side, side, st.integers(0, 2)), min_size=1, max_size=6))
        return [image(h, w, seed=place, adapter=adapter, output=output) for place, (h, w, adapter) in enumerate(some)]
    rows = []
    for ids in draw(st.lists(st.lists(st.integers(0, 99), min_size=1, max_size=12), min_size=1, max_size=6)):
        spans = None
        if output is RowOutput.SPAN_SUMS:
            place = st.integers(0, len(ids))
            pairs = draw(st.lists(st.tuples(place, place), max_size=4))
            spans = [sorted(pair) for pair in pairs]
        rows.append(text(*ids, adapter=draw(st.integers(0, 2)), output=output, spans=spans))
    return rows


@given(calls())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_every_row_gets_its_own_value(card: Card, rows: list[TokenRow]) -> None:
    engine = UnpaddedEngine(states={MODEL: "READY"})
    result = await UnpaddedCall(card, engine)(rows, timeout_seconds=1)
    assert not result.invalid
    assert engine.calls[0].outputs == (NAMES[rows[0].group.output], "row_status")
    for row, value in zip(rows, result.values, strict=True):
        wanted = expected(row)
        assert value.shape == wanted.shape
        assert value.dtype == (np.float64 if row.group.output is RowOutput.SPAN_SUMS else np.float32)
        np.testing.assert_allclose(value, wanted, rtol=0, atol=1e-5)


async def test_vectors_are_brought_to_unit_length_here(card: Card, engine: UnpaddedEngine) -> None:
    engine.wrong_outputs = {"embeddings": 3 * np.eye(2, SIZE, dtype=np.float32)}
    result = await UnpaddedCall(card, engine)([text(5), text(6)], timeout_seconds=1)
    np.testing.assert_array_equal(result.values, np.eye(2, SIZE))


async def test_inputs_that_say_nothing_are_left_out(card: Card, engine: UnpaddedEngine) -> None:
    call = UnpaddedCall(card, engine)
    await call([text(5, 6)], timeout_seconds=1)
    await call([image(4, 6, seed=1)], timeout_seconds=1)
    await call([text(5, 6, output=RowOutput.SPAN_SUMS)], timeout_seconds=1)
    always = {"token_ids", "row_lengths", "row_adapters"}
    assert [set(call.inputs) for call in engine.calls] == [
        always,
        always | {"pixels", "image_sizes"},
        always | {"spans", "span_counts"},
    ]


async def test_a_model_without_adapters_is_sent_none(card: Card, engine: UnpaddedEngine) -> None:
    inputs = tuple(given for given in card.triton.inputs if given.tensor.name != "row_adapters")
    merged = replace(card, triton=replace(card.triton, inputs=inputs))
    seen = []

    class Merged(UnpaddedEngine):
        async def infer(self, call, *, timeout_seconds):  # type: ignore[no-untyped-def]
            seen.append(set(call.inputs))
            filled = {**call.inputs, "row_adapters": np.zeros(len(call.inputs["row_lengths"]), np.int32)}
            return await super().infer(replace(call, inputs=filled), timeout_seconds=timeout_seconds)

    result = await UnpaddedCall(merged, Merged(states={MODEL: "READY"}))([text(5, adapter=None)], timeout_seconds=1)
    assert seen == [{"token_ids", "row_lengths"}]
    np.testing.assert_allclose(result.values[0], vector_of([5], 0), rtol=0, atol=1e-6)


@pytest.mark.parametrize("adapter", [None, -1])
async def test_a_row_without_an_adapter_is_not_sent(card: Card, engine: UnpaddedEngine, adapter: int | None) -> None:
    with pytest.raises(ValueError, match="adapter"):
        await UnpaddedCall(card, engine)([text(5), text(6, adapter=adapter)], timeout_seconds=1)
    assert engine.calls == []


async def test_images_and_texts_do_not_share_a_call(card: Card, engine: UnpaddedEngine) -> None:
    with pytest.raises(ValueError, match="several groups"):
        await UnpaddedCall(card, engine)([text(5), image(2, 2, seed=1)], timeout_seconds=1)


@pytest.mark.parametrize("output", OUTPUTS)
async def test_a_row_that_does_not_fit_fails_alone_and_says_what_to_do(
    card: Card, engine: UnpaddedEngine, output: RowOutput
) -> None:
    engine.out_of_memory_tokens = 3
    rows = [text(*ids, output=output) for ids in ([5, 6], [7, 8, 9], [1])]
    result = await UnpaddedCall(card, engine)(rows, timeout_seconds=1)
    assert [(place, type(error)) for place, error in result.invalid.items()] == [(1, DeviceOutOfMemory)]
    for place in (0, 2):
        np.testing.assert_allclose(result.values[place], expected(rows[place]), rtol=0, atol=1e-5)
    message = result.invalid[1].message
    assert "a shorter text" in message
    assert "GATEWAY_GPU_MEMORY_UTILIZATION" in message
    pictures = await UnpaddedCall(card, engine)([image(4, 4, seed=1)], timeout_seconds=1)
    assert "a smaller image" in pictures.invalid[0].message


@pytest.mark.parametrize("output", OUTPUTS)
async def test_a_row_of_nan_fails_alone(card: Card, engine: UnpaddedEngine, output: RowOutput) -> None:
    engine.spoilt_id = 7
    rows = [text(*ids, output=output) for ids in ([5, 6], [7, 8, 9], [1])]
    result = await UnpaddedCall(card, engine)(rows, timeout_seconds=1)
    assert [(place, type(error)) for place, error in result.invalid.items()] == [(1, InvalidVector)]
    for place in (0, 2):
        np.testing.assert_allclose(result.values[place], expected(rows[place]), rtol=0, atol=1e-5)


async def test_one_bad_token_spoils_its_own_row_only(card: Card, engine: UnpaddedEngine) -> None:
    answer = np.ones((6, TOKEN_SIZE), np.float32)
    answer[2, 1] = np.inf
    answer[5] = 0.0
    engine.wrong_outputs = {"token_vectors": answer}
    rows = [text(*ids, output=RowOutput.TOKEN_VECTORS) for ids in ([5, 6], [7], [8, 9], [1])]
    result = await UnpaddedCall(card, engine)(rows, timeout_seconds=1)
    assert sorted(result.invalid) == [1, 3]
    np.testing.assert_array_equal(result.values[0], np.full((2, TOKEN_SIZE), 0.5))


async def test_a_status_that_nobody_knows_is_no_vector(card: Card, engine: UnpaddedEngine) -> None:
    engine.wrong_outputs = {"row_status": np.array([0, 7], np.int32)}
    result = await UnpaddedCall(card, engine)([text(5), text(6)], timeout_seconds=1)
    assert [(place, type(error)) for place, error in result.invalid.items()] == [(1, InvalidVector)]


@pytest.mark.parametrize(
    ("output", "name", "shape"),
    [
        (RowOutput.VECTOR, "embeddings", (3, SIZE)),
        (RowOutput.VECTOR, "embeddings", (2, SIZE + 1)),
        (RowOutput.VECTOR, "row_status", (3,)),
        (RowOutput.VECTOR, "row_status", (2, 1)),
        (RowOutput.TOKEN_VECTORS, "token_vectors", (2, TOKEN_SIZE)),
        (RowOutput.TOKEN_VECTORS, "token_vectors", (3, SIZE)),
        (RowOutput.SPAN_SUMS, "span_sums", (3, SIZE)),
        (RowOutput.SPAN_SUMS, "span_sums", (4, TOKEN_SIZE)),
    ],
)
async def test_a_wrong_shape_condemns_the_call(
    card: Card, engine: UnpaddedEngine, output: RowOutput, name: str, shape: tuple[int, ...]
) -> None:
    dtype = np.int32 if name == "row_status" else np.float32
    engine.wrong_outputs = {name: np.ones(shape, dtype)}
    with pytest.raises(InvalidVector, match="shape"):
        await UnpaddedCall(card, engine)([text(5, 6, output=output), text(7, output=output)], timeout_seconds=1)


async def test_large_answers_are_read_in_a_thread_with_the_same_result(
    card: Card, engine: UnpaddedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [text(5, 6, 7), text(8)]
    inline = await UnpaddedCall(card, engine)(rows, timeout_seconds=1)
    monkeypatch.setattr("gateway.service.unpadded_call.INLINE_BYTES", 0)
    threaded = await UnpaddedCall(card, engine)(rows, timeout_seconds=1)
    np.testing.assert_array_equal(inline.values, threaded.values)


async def test_pixels_are_one_bytes_object(card: Card, engine: UnpaddedEngine) -> None:
    """The engine sends such an array as it is, so that images are copied once."""
    row = image(4, 6, seed=3)
    assert row.pixels is not None
    turned = replace(row, pixels=np.asfortranarray(row.pixels))
    result = await UnpaddedCall(card, engine)([row, turned], timeout_seconds=1)
    np.testing.assert_array_equal(result.values[0], result.values[1])
    pixels = engine.calls[0].inputs["pixels"]
    assert isinstance(pixels.base, bytes)
    assert pixels.base == 2 * row.pixels.tobytes()


def test_a_card_says_how_its_model_is_called(card: Card, engine: UnpaddedEngine, tmp_path: Path) -> None:
    assert isinstance(call_of(card, engine), UnpaddedCall)
    assert isinstance(call_of(tiny_card(tmp_path), engine), TritonCall)


@pytest.mark.parametrize("role", [OutputRole.ROW_STATUS, OutputRole.SENTENCE_EMBEDDING])
def test_a_card_without_a_needed_output_is_refused(card: Card, engine: UnpaddedEngine, role: OutputRole) -> None:
    outputs = tuple(output for output in card.triton.outputs if output.role is not role)
    with pytest.raises(ConfigurationError, match=role.value):
        UnpaddedCall(replace(card, triton=replace(card.triton, outputs=outputs)), engine)
