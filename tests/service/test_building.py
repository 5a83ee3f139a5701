"""What a card and its lock make of a served model: how it is proved, and how its rows are batched."""

from __future__ import annotations

import asyncio
import itertools
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gateway.cards.installation import LOCK_FILE
from gateway.cards.schema import BatchSpec, CanarySpec, Card
from gateway.errors import EngineUnavailable
from gateway.text.canary_row import canary_row
from gateway.text.tokenizer import TextTokenizer
from gateway.types import RowGroup, RowOutput
from gateway.vectors.scores import sigmoid
from tests.support.running_service import request, running, until
from tests.support.scripted_engine import SIZE, ScriptedEngine, logit_of, vector_of
from tests.support.tiny_models import (
    CANARY_IDS,
    FAMILY_MEMBERS,
    adapter_card,
    family_cards,
    reranker_card,
    tiny_card,
    tiny_model,
)
from tests.support.tiny_tokenizer import CLS, SEP, VOCABULARY


def lock(card: Card, **facts: object) -> Card:
    file = card.path_of(LOCK_FILE)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({"files": [], **facts}))
    return card


def without_expected(card: Card) -> Card:
    return replace(card, canary=CanarySpec(text="the cat"))


def words(*given: str) -> list[int]:
    return [VOCABULARY[word] for word in given]


def row_of(card: Card) -> tuple[list[int], RowGroup]:
    path = card.path_of(card.tokenizer.file)
    row = canary_row(card, TextTokenizer.from_file(path, max_tokens=card.tokenizer.max_tokens, max_text_bytes=4096))
    return row.ids.tolist(), row.group


def test_the_canary_is_read_as_its_models_default_task_would_be(tmp_path: Path) -> None:
    assert row_of(tiny_card(tmp_path)) == (list(CANARY_IDS), RowGroup())
    # the default task's own prefix and adapter
    assert row_of(adapter_card(tmp_path)) == ([CLS, *words("the", "cat", "the", "cat"), SEP], RowGroup(adapter=0))
    # the member that computes the default task, and others by the task that their own name stands for
    document = [CLS, *words("a", "mat", "the", "cat"), SEP]
    assert [row_of(card) for card in family_cards(tmp_path)] == [(document, RowGroup())] * len(FAMILY_MEMBERS)
    pair = [CLS, *words("cat"), SEP, SEP, *words("the", "cat", "sat"), SEP]
    assert row_of(reranker_card(tmp_path)) == (pair, RowGroup(output=RowOutput.LOGIT))


async def test_values_measured_at_installation_stand_in_for_published_ones(tmp_path: Path) -> None:
    engine = ScriptedEngine(states={"tiny": "READY"})
    right = [float(value) for value in vector_of(CANARY_IDS)]
    card = lock(without_expected(tiny_card(tmp_path)), canary=right)
    async with running(tmp_path, engine, known=[tiny_model(card)]) as service:
        await until(lambda: service.readiness.report().ready)
    lock(card, canary=[-value for value in right])
    async with running(tmp_path, engine, known=[tiny_model(card)]) as service:
        await until(lambda: service.readiness.report().models["tiny"].state == "wrong_vectors")


async def test_without_known_values_the_vector_has_to_stay_the_same(tmp_path: Path) -> None:
    engine = ScriptedEngine(states={"tiny": "READY"})
    async with running(tmp_path, engine, known=[tiny_model(without_expected(tiny_card(tmp_path)))]) as service:
        await until(lambda: service.readiness.report().ready)
        engine.wrong = True
        await until(lambda: service.readiness.report().models["tiny"].state == "wrong_vectors")
        with pytest.raises(EngineUnavailable):
            await service.embedding.embed(request("cat"))
        engine.wrong = False
        await until(lambda: service.readiness.report().ready)
        engine.nan = True
        await until(lambda: service.readiness.report().models["tiny"].state == "faulty")


async def test_another_variant_under_a_restarted_triton_is_served_as_what_it_is(tmp_path: Path) -> None:
    engine = ScriptedEngine(states={"tiny": "READY"})
    right = [float(value) for value in vector_of(CANARY_IDS)]
    card = lock(without_expected(tiny_card(tmp_path)), canary=right, variant="fp32")
    async with running(tmp_path, engine, known=[tiny_model(card)]) as service:
        await until(lambda: service.readiness.report().ready)
        engine.wrong = True
        await until(lambda: service.readiness.report().models["tiny"].state == "wrong_vectors")
        lock(card, canary=[-value for value in right], variant="int8", batch_invariant=False)
        await until(lambda: service.readiness.report().ready)
        [listing] = service.models.list()
        assert (listing.variant, listing.batch_invariant) == ("int8", False)
        await service.embedding.embed(request("cat"))


async def test_a_reranker_is_proved_by_its_score(tmp_path: Path) -> None:
    engine = ScriptedEngine(states={"reranker": "READY"})
    card = reranker_card(tmp_path)
    ids, _ = row_of(card)
    score = float(sigmoid(np.array([logit_of(ids)], np.float32))[0])
    card = replace(card, canary=replace(card.canary, expected=(score,)))
    async with running(tmp_path, engine, known=[tiny_model(card)]) as service:
        await until(lambda: service.readiness.report().ready)
        engine.wrong = True
        await until(lambda: service.readiness.report().models["reranker"].state == "wrong_vectors")


@pytest.mark.parametrize(("batch_invariant", "rows_of_calls"), [(True, [20]), (False, [1] * 20)])
async def test_where_the_installed_files_mix_rows_each_goes_alone(
    tmp_path: Path, batch_invariant: bool, rows_of_calls: list[int]
) -> None:
    engine = ScriptedEngine(states={"tiny": "READY"})
    card = lock(tiny_card(tmp_path), batch_invariant=batch_invariant, variant="int8")
    async with running(tmp_path, engine, known=[tiny_model(card)], canary_interval_seconds=60.0) as service:
        await until(lambda: service.readiness.report().ready)
        engine.calls.clear()
        # Different ones, because equal rows are computed once.
        pairs = itertools.product(("the", "cat", "sat", "on", "a"), ("cat", "sat", "on", "a"))
        texts = [" ".join(pair) for pair in pairs]
        await service.embedding.embed(request(*texts))
        assert [len(call.inputs["input_ids"]) for call in engine.calls] == rows_of_calls
        [listing] = service.models.list()
        assert (listing.variant, listing.batch_invariant) == ("int8", batch_invariant)


async def test_short_texts_are_answered_while_a_long_one_is_computed(tmp_path: Path) -> None:
    engine = ScriptedEngine(states={"tiny": "READY"}, hold_from_tokens=9)
    card = replace(tiny_card(tmp_path), batching=BatchSpec(max_batch_tokens=16, long_row_tokens=8))
    async with running(tmp_path, engine, known=[tiny_model(card)], calls_in_flight=2) as service:
        await until(lambda: service.readiness.report().ready)
        long = [asyncio.create_task(service.embedding.embed(request("cat " * 9))) for _ in range(3)]
        await until(lambda: engine.held == 1)
        result = await service.embedding.embed(request(*["cat"] * 100))
        assert len(result.vectors) == 100
        assert engine.held == 1, "the others wait in their lane"
        engine.release.set()
        await asyncio.gather(*long)


async def test_short_texts_are_answered_while_a_document_of_many_windows_is_chunked_late(tmp_path: Path) -> None:
    engine = ScriptedEngine(states={"adapters": "READY"}, hold_from_tokens=9)
    card = replace(adapter_card(tmp_path), batching=BatchSpec(max_batch_tokens=64, long_row_tokens=8))
    card = replace(card, vectors=replace(card.embedding, overlap_tokens=2))
    async with running(tmp_path, engine, known=[tiny_model(card)], calls_in_flight=2) as service:
        await until(lambda: service.readiness.report().ready)
        document = request(*["the cat sat on a mat"] * 9, task="separation", late_chunking=True)
        chunks = asyncio.create_task(service.embedding.embed(document))
        await until(lambda: engine.held == 1)
        result = await service.embedding.embed(request(*["sat"] * 100, task="classification"))
        assert len(result.vectors) == 100
        assert (engine.held, chunks.done()) == (1, False), "the other windows wait in their lane"
        engine.release.set()
        assert (await chunks).vectors.shape == (9, SIZE)


async def test_a_family_named_as_wanted_is_there_with_its_first_member_and_a_member_alone_by_its_own_name(
    tmp_path: Path,
) -> None:
    known = [tiny_model(*family_cards(tmp_path)), tiny_model(tiny_card(tmp_path))]
    engine = ScriptedEngine(states={"family-retrieval": "READY", "tiny": "READY"})
    async with running(tmp_path, engine, known=known, models=("family-retrieval",)) as service:
        await until(lambda: service.readiness.report().ready)
        assert list(service.models.all()) == ["family-retrieval"]
    async with running(tmp_path, engine, known=known, models=("family", "tiny")) as service:
        await until(lambda: service.readiness.report().ready)
        engine.states["family-clustering"] = "READY"
        engine.dead.add("family-clustering")
        engine.control_refused = True
        await until(lambda: "family-clustering" in service.models.all())
        assert not service.readiness.report().ready, "a member that is served has to be well"
    engine.states = {"tiny": "READY"}
    async with running(tmp_path, engine, known=known, models=("family", "tiny")) as service:
        await until(lambda: service.readiness.report().models["tiny"].ready)
        assert not service.readiness.report().ready, "no member of the family"
