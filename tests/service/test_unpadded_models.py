"""The service over a model that takes rows unpadded, in the shape of jina-embeddings-v4: texts and their tasks."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gateway.cards.triton_spec import OutputRole
from gateway.errors import (
    ConfigurationError,
    DeviceOutOfMemory,
    InferenceFailed,
    InvalidField,
    InvalidVector,
    TokenLimitExceeded,
    TooManyTokenVectors,
)
from gateway.telemetry.metrics import build_metrics
from gateway.types import EmbedResult, Overflow, TokenInput, Vocabulary
from tests.support.running_service import request, until
from tests.support.scripted_engine import SIZE
from tests.support.unpadded_engine import (
    IDS,
    TASKS,
    TOKEN_SIZE,
    hidden_of,
    rows_of,
    token_vectors_of,
    unit,
    unpadded_card,
    vector_of,
)
from tests.support.unpadded_service import MODEL, unpadded

PROMPTS = {task.name: task.prompt or "" for task in TASKS.tasks}
ADAPTERS = {task.name: task.adapter or 0 for task in TASKS.tasks}


def ids_of(text: str) -> list[int]:
    return [IDS[word] for word in text.split()]


def wanted(task: str, text: str) -> np.ndarray:
    return vector_of(ids_of(PROMPTS[task] + text), ADAPTERS[task])


def assert_vectors(result: EmbedResult, *expected: np.ndarray) -> None:
    np.testing.assert_allclose(result.vectors, np.stack(expected), rtol=0, atol=1e-5)


@pytest.mark.parametrize("task", list(ADAPTERS))
async def test_every_task_has_its_prefix_and_adapter(tmp_path: Path, task: str) -> None:
    async with unpadded(tmp_path) as (service, _):
        result = await service.embedding.embed(request("cat sat", task=task))
    assert_vectors(result, wanted(task, "cat sat"))
    assert (result.usage.prompt_tokens, result.usage.image_tokens) == (3, 0)


async def test_requests_of_different_tasks_share_a_call(tmp_path: Path) -> None:
    async with unpadded(tmp_path) as (service, engine):
        results = await asyncio.gather(*(service.embedding.embed(request("cat", task=task)) for task in ADAPTERS))
    for task, result in zip(ADAPTERS, results, strict=True):
        assert_vectors(result, wanted(task, "cat"))
    [call] = engine.calls
    assert sorted(call.inputs["row_adapters"]) == sorted(ADAPTERS.values())


async def test_own_prefixes_choose_the_side_row_by_row(tmp_path: Path) -> None:
    async with unpadded(tmp_path) as (service, engine):
        result = await service.embedding.embed(request("the cat", "a cat", "cat", side="query"))
    assert_vectors(result, *(vector_of(ids_of(text), 0) for text in ("the cat", "a cat", "the cat")))
    assert len(engine.calls) == 1


async def test_nothing_is_counted_as_padding(tmp_path: Path) -> None:
    metrics = build_metrics(version="test")
    async with unpadded(tmp_path, metrics=metrics) as (service, engine):
        known = metrics.registry.get_sample_value("gateway_real_tokens_total", {"model": MODEL}) or 0
        await service.embedding.embed(request("cat", "cat sat on a mat"))
        [lengths] = [call.inputs["row_lengths"] for call in engine.calls]
    assert lengths.min() < lengths.max()
    for name in ("real_tokens", "padded_tokens"):
        assert metrics.registry.get_sample_value(f"gateway_{name}_total", {"model": MODEL}) == known + lengths.sum()


async def test_lengths_mixed_and_many_come_back_in_order(tmp_path: Path) -> None:
    texts = [" ".join(["cat", "mat", "sat"][place % 3] for _ in range(1 + place % 37)) for place in range(150)]
    async with unpadded(tmp_path) as (service, engine):
        result = await service.embedding.embed(request(*texts, task="text-matching"))
    assert_vectors(result, *(wanted("text-matching", text) for text in texts))
    for call in engine.calls:
        lengths = call.inputs["row_lengths"]
        assert len(lengths) * lengths.max() <= 256, "the card's budget, as for any model"


async def test_dimensions_are_cut_here(tmp_path: Path) -> None:
    async with unpadded(tmp_path) as (service, _):
        result = await service.embedding.embed(request("cat", dimensions=4))
    assert_vectors(result, unit(wanted("retrieval.passage", "cat")[:4]))


async def test_a_row_that_does_not_fit_into_memory_fails_alone_and_is_not_tried_again(tmp_path: Path) -> None:
    async with unpadded(tmp_path) as (service, engine):
        engine.out_of_memory_tokens = 6
        texts = ["cat", "cat sat on a mat", "mat", "sat"]
        results = await asyncio.gather(
            *(service.embedding.embed(request(text)) for text in texts), return_exceptions=True
        )
        calls = len(engine.calls)
        rows = [ids for call in engine.calls for ids, *_ in rows_of(call.inputs)]
        assert (await service.embedding.embed(request("cat"))).vectors.shape == (1, SIZE), "and the model goes on"
    assert [type(result) for result in results] == [EmbedResult, DeviceOutOfMemory, EmbedResult, EmbedResult]
    assert len(rows) == len(texts), "each was computed once"
    assert calls <= 2
    assert service.readiness.report().ready


async def test_a_refused_text_and_one_of_nan_fail_alone(tmp_path: Path) -> None:
    async with unpadded(tmp_path) as (service, engine):
        engine.refuse_id, engine.spoilt_id = IDS["漢"], IDS["字"]
        texts = ["cat", "漢", "mat", "字", *["sat"] * 10]
        results = await asyncio.gather(
            *(service.embedding.embed(request(text)) for text in texts), return_exceptions=True
        )
    kinds = [type(result) for result in results]
    assert kinds == [EmbedResult, InferenceFailed, EmbedResult, InvalidVector, *[EmbedResult] * 10]


async def test_vectors_as_long_as_they_are_cannot_be_had(tmp_path: Path) -> None:
    async with unpadded(tmp_path) as (service, engine):
        with pytest.raises(InvalidField, match="length 1 only") as refused:
            await service.embedding.embed(request("cat", normalised=False))
        assert refused.value.param == "normalized"
        assert engine.calls == []


@pytest.mark.parametrize(
    ("most", "own", "error"), [(6, None, TokenLimitExceeded), (6, 7, TokenLimitExceeded), (7, 6, TooManyTokenVectors)]
)
async def test_more_vectors_than_an_answer_may_have_are_refused_before_any_is_computed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: int, own: int | None, error: type[TokenLimitExceeded]
) -> None:
    monkeypatch.setattr("gateway.service.token_vectors.MOST_TOKENS", most)
    limits = {"multi_vector": True, "max_token_vectors": own}
    async with unpadded(tmp_path) as (service, engine):
        with pytest.raises(TokenLimitExceeded, match=r"may have 6 tokens.* has 7") as refused:
            await service.embedding.embed(request("cat sat", "unbelievable", **limits))
        assert (type(refused.value), engine.calls) == (error, [])
        assert len((await service.embedding.embed(request("cat sat", "cat sat", **limits))).token_vectors) == 2
        assert len((await service.embedding.embed(request("cat sat", "unbelievable"))).vectors) == 2


async def test_a_vector_a_token_with_its_texts(tmp_path: Path) -> None:
    texts = ["cat sat", "unbelievable"]
    ids = [ids_of("a cat sat"), [IDS[piece] for piece in ("a", "un", "##believ", "##able")]]
    async with unpadded(tmp_path) as (service, engine):
        result = await service.embedding.embed(request(*texts, multi_vector=True, return_tokens=True))
        plain = await service.embedding.embed(request(*texts, multi_vector=True))
    assert result.token_vectors is not None
    assert result.vectors.shape[0] == 0
    for own, vectors in zip(ids, result.token_vectors, strict=True):
        assert (vectors.shape, vectors.dtype) == ((len(own), TOKEN_SIZE), np.float32)
        np.testing.assert_allclose(vectors, token_vectors_of(own, 0), rtol=0, atol=1e-5)
    assert result.tokens is not None
    assert [len(tokens) for tokens in result.tokens] == [3, 4]
    assert result.tokens[0] == ("a", "cat", "sat")
    assert result.usage.prompt_tokens == 7
    assert plain.tokens is None
    assert {call.outputs for call in engine.calls} == {("token_vectors", "row_status")}


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"multi_vector": True, "dimensions": 4}, "dimensions"),
        ({"multi_vector": True, "late_chunking": True}, "late_chunking"),
        ({"multi_vector": True, "normalised": False}, "normalized"),
        ({"return_tokens": True}, "return_tokenized_input"),
    ],
)
async def test_what_cannot_go_with_a_vector_a_token(tmp_path: Path, fields: dict[str, object], param: str) -> None:
    async with unpadded(tmp_path) as (service, engine):
        with pytest.raises(InvalidField, match=r"leave (.* )?out|leave one") as refused:
            await service.embedding.embed(request("cat", **fields))
        assert refused.value.param == param
        assert engine.calls == []


async def test_a_model_without_token_vectors_is_not_asked_for_them(tmp_path: Path) -> None:
    whole = unpadded_card(tmp_path)
    outputs = tuple(output for output in whole.triton.outputs if output.role is not OutputRole.TOKEN_VECTORS)
    card = replace(whole, triton=replace(whole.triton, outputs=outputs))
    async with unpadded(tmp_path, card=card) as (service, engine):
        with pytest.raises(InvalidField, match="one vector an input") as refused:
            await service.embedding.embed(request("cat", multi_vector=True))
        assert (refused.value.param, refused.value.code) == ("return_multivector", "multi_vector_unavailable")
        assert engine.calls == []


@pytest.mark.parametrize("words", [[3, 2], [1], [12, 9, 30, 2, 5], [70, 1, 40]])
async def test_late_chunking_by_sums_over_spans(tmp_path: Path, words: Sequence[int]) -> None:
    """Windows of 40 tokens that share 8; what is new in a window is taken from it."""
    parts = [" ".join(["cat", "mat", "on", "sat"][(number + place) % 4] for place in range(count))
             for number, count in enumerate(words)]  # fmt: skip
    ids = ids_of("the " + " ".join(parts))
    hidden: list[np.ndarray] = []
    for start in range(0, len(ids), 32):
        window = ids[start : start + 40]
        if start and len(window) <= 8:
            break
        hidden += list(hidden_of(window, 1)[8 if start else 0 :])
    ends = 1 + np.cumsum(words)  # the prefix is the first part's
    expected = [unit(np.mean(one, axis=0)) for one in np.split(np.array(hidden, np.float64), ends[:-1])]
    async with unpadded(tmp_path) as (service, engine):
        result = await service.embedding.embed(request(*parts, task="text-matching", late_chunking=True))
    assert_vectors(result, *expected)
    assert {call.outputs for call in engine.calls} == {("span_sums", "row_status")}
    assert {int(adapter) for call in engine.calls for adapter in call.inputs["row_adapters"]} == {1}


async def test_late_chunking_in_a_window_smaller_than_what_windows_share(tmp_path: Path) -> None:
    card = unpadded_card(tmp_path)
    card = replace(card, vectors=replace(card.embedding, overlap_tokens=30))
    async with unpadded(tmp_path, card=card, max_model_tokens=16) as (service, engine):
        result = await service.embedding.embed(request(*["cat mat"] * 20, late_chunking=True))
        lengths = sorted(int(length) for call in engine.calls for length in call.inputs["row_lengths"])
    assert result.vectors.shape == (20, SIZE)
    assert lengths == [5, 16, 16, 16], "41 tokens in steps of 12"


async def test_the_canary_is_proved_through_the_same_call(tmp_path: Path) -> None:
    card = unpadded_card(tmp_path)
    right = tuple(float(value) for value in vector_of(ids_of("a the cat"), 0)[:4])
    proved = replace(card, canary=replace(card.canary, expected=right))
    async with unpadded(tmp_path, card=proved, canary_interval_seconds=0.02) as (service, engine):
        engine.wrong = True
        await until(lambda: service.readiness.report().models[MODEL].state == "wrong_vectors")
        engine.wrong = False
        await until(lambda: service.readiness.report().ready)


async def test_without_known_values_the_first_vector_has_to_stay(tmp_path: Path) -> None:
    async with unpadded(tmp_path, canary_interval_seconds=0.02) as (service, engine):
        engine.wrong = True
        await until(lambda: service.readiness.report().models[MODEL].state == "wrong_vectors")


async def test_a_model_whose_process_died_is_restarted_and_its_rows_are_answered(tmp_path: Path) -> None:
    async with unpadded(tmp_path, canary_interval_seconds=0.02) as (service, engine):
        engine.dead.add(MODEL)
        result = await service.embedding.embed(request("cat"))
        assert_vectors(result, wanted("retrieval.passage", "cat"))
    assert engine.control == [("unload", MODEL), ("load", MODEL)]


async def test_the_operators_default_task_stands_in_where_a_request_says_nothing(tmp_path: Path) -> None:
    async with unpadded(tmp_path, default_tasks=(f"{MODEL}=text-matching",)) as (service, _):
        nothing = await service.embedding.embed(request("cat"))
        side = await service.embedding.embed(request("cat", side="query"))
        empty = await service.embedding.embed(request("cat", side="image"))
        named = await service.embedding.embed(request("cat", task="code.passage"))
        [listing] = service.models.list()
    assert listing.default_task == "text-matching"
    assert_vectors(nothing, wanted("text-matching", "cat"))
    assert_vectors(empty, wanted("text-matching", "cat"))
    assert_vectors(side, wanted("retrieval.query", "cat"))
    assert_vectors(named, wanted("code.passage", "cat"))


@pytest.mark.parametrize("entry", ["nope=text-matching", f"{MODEL}=nope", MODEL, f"{MODEL}=", "=x"])
async def test_a_default_task_that_cannot_be_right_ends_the_start(tmp_path: Path, entry: str) -> None:
    with pytest.raises(ConfigurationError, match="GATEWAY_DEFAULT_TASKS"):
        async with unpadded(tmp_path, default_tasks=(entry,)):
            pass


async def test_a_smaller_window_by_setting_is_the_window_and_the_canary_is_what_it_was(tmp_path: Path) -> None:
    card = unpadded_card(tmp_path)
    long = "the cat sat on a mat the cat sat on a mat the cat"
    right = tuple(float(value) for value in vector_of(ids_of("a " + long), 0)[:4])
    proved = replace(card, canary=replace(card.canary, text=long, expected=right))
    async with unpadded(tmp_path, card=proved, max_model_tokens=10) as (service, _):
        result = await service.embedding.embed(request("cat " * 9))
        with pytest.raises(TokenLimitExceeded, match="maximum context length is 10 tokens"):
            await service.embedding.embed(request("cat " * 10))
        cut = await service.embedding.embed(request("cat " * 30, overflow=Overflow.TRUNCATE))
        [listing] = service.models.list()
        assert listing.max_tokens == 10
        ids = await service.embedding.embed(request(TokenInput((5,) * 10, Vocabulary.MODEL), overflow=Overflow.REFUSE))
    assert (result.usage.prompt_tokens, cut.usage.prompt_tokens, cut.truncated) == (10, 10, 1)
    assert ids.usage.prompt_tokens == 10


async def test_a_window_beyond_the_models_own_changes_nothing(tmp_path: Path) -> None:
    async with unpadded(tmp_path, max_model_tokens=1000) as (service, _):
        with pytest.raises(TokenLimitExceeded, match="maximum context length is 40 tokens"):
            await service.embedding.embed(request("cat " * 50))
        [listing] = service.models.list()
        assert (listing.max_tokens, listing.default_task) == (40, "retrieval.passage")
