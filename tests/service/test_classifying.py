"""Zero-shot classification against plain NumPy over the twins' own vectors."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from gateway.cards.registry import Registry
from gateway.cards.schema import Card
from gateway.errors import DeadlineExceeded, EngineUnavailable, InvalidField, TokenLimitExceeded, UnknownModel
from gateway.service import classifying
from gateway.service.classifying import ClassificationService
from gateway.service.served_models import ServedModels
from gateway.types import ClassifyRequest, ClassifyResult, Input, Overflow, TextInput, TokenInput, Vocabulary
from tests.support.twin_engine import TwinService, soon, twin_service
from tests.support.twins import v2_base_en, v3
from tests.support.twins.twin import Twin

MODEL, PLAIN, FAMILY = "jina-embeddings-v3", "jina-embeddings-v2-base-en", "jina-embeddings-v5-text-nano"
ROOT = Path(__file__).resolve().parents[2]
INPUTS = ("The quick brown fox", "organic skin care 你好", "a", "")
LABELS = ("animals", "skin care", "machine learning 学习")
TOLERANCE = 1e-5


def vectors(twin: Twin, texts: Sequence[str], *, prompt: str = "", **choice: int) -> np.ndarray:
    return np.stack([twin.vector(twin.ids(prompt + text), **choice) for text in texts])


def distribution(inputs: np.ndarray, labels: np.ndarray) -> np.ndarray:
    powers = np.exp(inputs @ labels.T)
    return powers / powers.sum(axis=1)[:, None]


async def classified(
    twin: TwinService, inputs: Sequence[Input | str], *groups: Sequence[str], **fields: object
) -> ClassifyResult:
    given = {"deadline": soon(), "model": MODEL, **fields}
    return await ClassificationService(twin.service.models, twin.service.embedding).classify(
        ClassifyRequest(
            inputs=[TextInput(one) if isinstance(one, str) else one for one in inputs],
            label_groups=groups,
            **given,  # type: ignore[arg-type]
        )
    )


@pytest.fixture
async def twin(tmp_path: Path) -> AsyncIterator[TwinService]:
    async with twin_service(tmp_path, MODEL, PLAIN) as twin:
        yield twin


async def test_each_input_has_a_distribution_over_the_labels(twin: TwinService) -> None:
    own = v3.build()
    task = v3.TASKS.index("classification")
    wanted = distribution(vectors(own, INPUTS, task=task), vectors(own, LABELS, task=task))
    result = await classified(twin, INPUTS, LABELS)
    [scores] = result.scores
    np.testing.assert_allclose(scores, wanted, rtol=0, atol=TOLERANCE)
    np.testing.assert_allclose(scores.sum(axis=1), 1.0, rtol=0, atol=1e-12)
    assert (scores.dtype, result.model) == (np.float64, MODEL)
    tokens = sum(len(own.ids(text)) for text in (*INPUTS, *LABELS))
    assert result.usage.prompt_tokens == result.usage.total_tokens == tokens
    assert {call.inputs["task_id"].item() for call in twin.engine.calls} == {task}


async def test_labels_are_embedded_for_the_task_of_the_inputs(twin: TwinService) -> None:
    own, prompt = v3.build(), v3.PROMPTS["retrieval.query"]
    for fields in ({"task": "retrieval.query"}, {"model": f"{MODEL}:retrieval.query"}):
        result = await classified(twin, INPUTS, LABELS, **fields)
        both = (vectors(own, texts, prompt=prompt, task=0) for texts in (INPUTS, LABELS))
        np.testing.assert_allclose(result.scores[0], distribution(*both), rtol=0, atol=TOLERANCE)


async def test_a_model_with_other_tasks_classifies_by_its_default(
    twin: TwinService, monkeypatch: pytest.MonkeyPatch
) -> None:
    by_default = await classified(twin, INPUTS, LABELS, task="retrieval.query")
    monkeypatch.setattr(classifying, "_TASK", "a task that it has not")
    np.testing.assert_array_equal((await classified(twin, INPUTS, LABELS)).scores[0], by_default.scores[0])


async def test_a_model_without_tasks_classifies_too(twin: TwinService) -> None:
    own = v2_base_en.build()
    result = await classified(twin, INPUTS[:2], LABELS, model=PLAIN)
    wanted = distribution(vectors(own, INPUTS[:2]), vectors(own, LABELS))
    np.testing.assert_allclose(result.scores[0], wanted, rtol=0, atol=TOLERANCE)


async def test_every_group_has_a_distribution_of_its_own(twin: TwinService) -> None:
    groups = (LABELS, ("yes", "no"), ("animals", "yes"), ("alone",))
    together = await classified(twin, INPUTS, *groups)
    assert [scores.shape for scores in together.scores] == [(len(INPUTS), len(group)) for group in groups]
    for group, scores in zip(groups, together.scores, strict=True):
        alone = await classified(twin, INPUTS, group)
        np.testing.assert_allclose(scores, alone.scores[0], rtol=0, atol=TOLERANCE)
    assert (together.scores[3] == 1.0).all()


async def test_a_label_of_several_groups_is_computed_once(twin: TwinService) -> None:
    once = await classified(twin, ["fox"], ("yes", "no"))
    repeated = await classified(twin, ["fox"], ("yes", "no"), ("no", "yes"), ("yes",))
    assert repeated.usage == once.usage
    np.testing.assert_array_equal(repeated.scores[1][:, ::-1], repeated.scores[0])


async def test_the_same_request_has_the_same_answer(twin: TwinService) -> None:
    first, second = [await classified(twin, INPUTS, LABELS) for _ in range(2)]
    np.testing.assert_array_equal(first.scores[0], second.scores[0])


async def test_a_member_of_a_family_computes_it(tmp_path: Path) -> None:
    async with twin_service(tmp_path, FAMILY) as twin:
        result = await classified(twin, ["fox"], LABELS, model=FAMILY)
        assert {call.model for call in twin.engine.calls} == {f"{FAMILY}-classification"}
    assert result.model == FAMILY


async def test_the_member_that_classifies_is_asked_for_where_none_is_loaded(twin: TwinService) -> None:
    needed: list[str] = []

    def on_missing(card: Card) -> EngineUnavailable:
        needed.append(card.name)
        return EngineUnavailable("It is on its way.")

    models = ServedModels(
        Registry.from_repository(ROOT / "model_repository"), default_model=None, on_missing=on_missing
    )
    request = ClassifyRequest([TextInput("x")], label_groups=[LABELS], deadline=soon(), model=FAMILY)
    with pytest.raises(EngineUnavailable):
        await ClassificationService(models, twin.service.embedding).classify(request)
    assert needed == [f"{FAMILY}-classification"]


async def test_token_ids_are_inputs_too(twin: TwinService) -> None:
    ids = tuple(v3.build().ids("The quick brown fox").tolist())
    [by_ids] = (await classified(twin, [TokenInput(ids, Vocabulary.MODEL)], LABELS)).scores
    [by_text] = (await classified(twin, ["The quick brown fox"], LABELS)).scores
    np.testing.assert_allclose(by_ids, by_text, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("groups", [(), ([],), (LABELS, []), (["yes", ""],), (["yes", " \n"],), (["yes", "\ud800"],)])
async def test_labels_that_are_none_are_refused(twin: TwinService, groups: Sequence[Sequence[str]]) -> None:
    with pytest.raises(InvalidField) as refused:
        await classified(twin, INPUTS, *groups)
    assert refused.value.param == "labels"
    assert twin.engine.calls == []


async def test_faults_of_inputs_and_of_labels_are_told_apart(tmp_path: Path) -> None:
    async with twin_service(tmp_path, MODEL, max_tokens=16) as twin:
        with pytest.raises(InvalidField, match="in input 1") as refused:
            await classified(twin, ["fox", "the " * 40], LABELS)
        assert (type(refused.value), refused.value.param) == (TokenLimitExceeded, "input")
        with pytest.raises(InvalidField, match="The labels cannot be embedded") as refused:
            await classified(twin, ["fox"], ["yes", "the " * 40])
        assert (refused.value.param, refused.value.code) == ("labels", "context_length_exceeded")
        cut = await classified(twin, ["the " * 40], LABELS, overflow=Overflow.TRUNCATE)
        assert cut.scores[0].shape == (1, 3)
        with pytest.raises(InvalidField, match="At least one input"):
            await classified(twin, [], LABELS)


async def test_unknown_models_tasks_and_late_requests_are_told_so(twin: TwinService) -> None:
    with pytest.raises(UnknownModel):
        await classified(twin, INPUTS, LABELS, model="nope")
    with pytest.raises(InvalidField, match=r"retrieval\.query"):
        await classified(twin, INPUTS, LABELS, task="nope")
    with pytest.raises(DeadlineExceeded):
        await classified(twin, INPUTS, LABELS, deadline=soon(-1))


async def test_inputs_and_labels_are_counted(twin: TwinService) -> None:
    result = await classified(twin, INPUTS, LABELS)
    count = twin.metrics.registry.get_sample_value
    assert count("gateway_inputs_total", {"model": MODEL}) == len(INPUTS) + len(LABELS)
    assert count("gateway_input_tokens_total", {"model": MODEL}) == result.usage.total_tokens
