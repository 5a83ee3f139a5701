"""Tasks over a real Triton: every text gets its own task's vector, whoever is asked for what beside it.

The models are the tiny twins under the shipped cards, the oracle is NumPy over their weights.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path

import httpx
import numpy as np
import pytest

from gateway.artifacts.hub_access import HubAccess
from gateway.artifacts.pulling import pull
from gateway.artifacts.sources import Fetching, SourceChoice
from gateway.cards.installation import read_installation
from gateway.cards.registry import Registry
from gateway.cards.schema import Card
from gateway.errors import InferenceFailed
from gateway.service.building import Service, ServiceOptions, build_service
from gateway.telemetry.metrics import build_metrics
from gateway.triton.embedded.background import BackgroundTriton
from gateway.triton.embedded.ports import Ports, pick_free
from gateway.triton.embedded.supervisor import EmbeddedTriton
from gateway.triton.engine import InferCall, Instances, ModelStatus, Tensor
from gateway.triton.grpc_engine import GrpcEngine
from gateway.triton.input_tensors import pad
from gateway.types import EmbedResult
from gateway.vectors.shortening import shorten
from tests.conftest import ServedTriton
from tests.support.local_hub import local_hub
from tests.support.running_service import request, until
from tests.support.twin_repository import publish_twins, twin_repository
from tests.support.twins import v2_base_en, v3, v5_nano, v5_small
from tests.support.twins.twin import Twin

pytestmark = pytest.mark.triton

V3 = "jina-embeddings-v3"
NANO = "jina-embeddings-v5-text-nano"
SMALL = "jina-embeddings-v5-text-small"
TOLERANCE = 1e-4

WORDS = [
    "apples",
    "model",
    "search",
    "fox",
    "jumps",
    "over",
    "lazy",
    "dog",
    "naïve",
    "café",
    "Größe",
    "你好",
    "世界",
    "🙂",
    "the",
    "of",
    "a",
    ",",
    ".",
    "3.14",
]


class Recording:
    """An engine that hands everything on and keeps the calls."""

    def __init__(self, engine: GrpcEngine) -> None:
        self._engine = engine
        self.calls: list[InferCall] = []

    async def infer(self, call: InferCall, *, timeout_seconds: float) -> dict[str, Tensor]:
        self.calls.append(call)
        return await self._engine.infer(call, timeout_seconds=timeout_seconds)

    async def is_live(self, *, timeout_seconds: float = 1.0) -> bool:
        return await self._engine.is_live(timeout_seconds=timeout_seconds)

    async def models(self, *, timeout_seconds: float = 5.0) -> list[ModelStatus]:
        return await self._engine.models(timeout_seconds=timeout_seconds)

    async def instances(self, model: str, *, timeout_seconds: float = 5.0) -> Instances:
        return await self._engine.instances(model, timeout_seconds=timeout_seconds)

    async def load(self, model: str, *, timeout_seconds: float = 60.0) -> None:
        await self._engine.load(model, timeout_seconds=timeout_seconds)

    async def unload(self, model: str, *, timeout_seconds: float = 60.0) -> None:
        await self._engine.unload(model, timeout_seconds=timeout_seconds)

    async def close(self) -> None:
        await self._engine.close()


@asynccontextmanager
async def serving(
    triton: ServedTriton, repository: Path, *names: str, **options: object
) -> AsyncIterator[tuple[Service, Recording]]:
    """The service over the named models, ready, and what it sends to Triton."""
    fields = {"models": names, "canary_interval_seconds": 60.0, **options}
    engine = Recording(GrpcEngine(triton.grpc))
    try:
        async with build_service(
            Registry.from_repository(repository),
            options=ServiceOptions(**fields),  # type: ignore[arg-type]
            metrics=build_metrics(version="test"),
            engine=engine,
        ) as service:
            await until(lambda: service.readiness.report().ready, seconds=60)
            engine.calls.clear()
            yield service, engine
    finally:
        await engine.close()


async def embed(service: Service, *texts: str, **fields: object) -> EmbedResult:
    return await service.embedding.embed(request(*texts, seconds=300, **fields))


@cache
def expected_v3(task: str, text: str) -> np.ndarray:
    """As torch's `encode(text, task=task)`: the task's instruction before the text, mean over all tokens, unit."""
    twin = v3.build()
    return twin.vector(twin.ids(v3.PROMPTS[task] + text), task=v3.TASKS.index(task))


def twin_of(model: str, member: str) -> Twin:
    return {NANO: v5_nano.build, SMALL: v5_small.build}[model](member)


def expected_v5(model: str, member: str, text: str) -> np.ndarray:
    """`text` with its prefix; last token, unit."""
    twin = twin_of(model, member)
    return twin.vector(twin.ids(text))


def texts_of(count: int, *, seed: int, most: int = 12) -> list[str]:
    dice = random.Random(seed)
    return [" ".join(dice.choices(WORDS, k=dice.randint(1, most))) for _ in range(count)]


def assert_close(result: EmbedResult, *expected: np.ndarray) -> None:
    np.testing.assert_allclose(result.vectors, np.stack(expected), rtol=0, atol=TOLERANCE)


def unlike(one: np.ndarray, other: np.ndarray) -> bool:
    return float(np.abs(one - other).max()) > 100 * TOLERANCE


async def test_no_adapter_is_swapped_in_a_thousand_requests_of_which_64_run_at_a_time(
    twin_triton: ServedTriton, twin_models: Path
) -> None:
    dice = random.Random(3)
    asked = [
        (dice.choice(v3.TASKS), texts_of(dice.choice([1, 1, 1, 4]), seed=number, most=dice.choice([4, 30])))
        for number in range(1000)
    ]
    gate = asyncio.Semaphore(64)
    async with serving(twin_triton, twin_models, V3) as (service, engine):

        async def client(task: str, texts: list[str]) -> None:
            async with gate:
                result = await embed(service, *texts, task=task)
            assert_close(result, *(expected_v3(task, text) for text in texts))

        async with asyncio.TaskGroup() as group:
            for task, texts in asked:
                group.create_task(client(task, texts))
    assert {int(call.inputs["task_id"][0]) for call in engine.calls} == set(range(5))
    rows = sum(len(call.inputs["input_ids"]) for call in engine.calls)
    assert len(engine.calls) < rows / 2, "texts of one task share calls"


async def test_a_burst_of_mixed_tasks_keeps_batching_per_task(twin_triton: ServedTriton, twin_models: Path) -> None:
    asked = [(v3.TASKS[number % 5], text) for number, text in enumerate(texts_of(64, seed=1, most=3))]
    async with serving(twin_triton, twin_models, V3) as (service, engine):
        results = await asyncio.gather(*(embed(service, text, task=task) for task, text in asked))
    for result, (task, text) in zip(results, asked, strict=True):
        assert_close(result, expected_v3(task, text))
    assert len(engine.calls) <= 20
    assert {call.inputs["task_id"].shape for call in engine.calls} == {(1,)}


async def test_rows_of_one_request_keep_their_own_adapters(twin_triton: ServedTriton, twin_models: Path) -> None:
    """By default a text's own prefix chooses the side of the search, and with it the adapter."""
    texts = [("apples" if number % 2 else v3.PROMPTS["retrieval.passage"] + "apples") for number in range(12)]
    query, passage = expected_v3("retrieval.query", "apples"), expected_v3("retrieval.passage", "apples")
    assert unlike(query, passage)
    async with serving(twin_triton, twin_models, V3) as (service, _):
        result = await embed(service, *texts)
    assert_close(result, *(query if number % 2 else passage for number in range(12)))


class TestWhatTheGuardsAreFor:
    """What the very same Triton answers to calls that the gateway never makes."""

    @staticmethod
    def call(texts: list[str], task_id: list[int]) -> InferCall:
        rows = [v3.build().ids(text) for text in texts]
        assert len({len(row) for row in rows}) == 1
        ids = np.stack(rows)
        inputs = {"input_ids": ids, "attention_mask": np.ones_like(ids), "task_id": np.array(task_id, np.int64)}
        return InferCall(V3, inputs, ("pooled_embedding",))

    async def test_one_adapter_a_row_is_refused(self, twin_triton: ServedTriton) -> None:
        engine = GrpcEngine(twin_triton.grpc)
        try:
            with pytest.raises(InferenceFailed):
                await engine.infer(self.call(["apples", "search"], [0, 4]), timeout_seconds=10)
        finally:
            await engine.close()

    async def test_rows_of_two_tasks_in_one_call_silently_share_the_first_adapter(
        self, twin_triton: ServedTriton
    ) -> None:
        engine = GrpcEngine(twin_triton.grpc)
        try:
            answer = await engine.infer(self.call(["apples", "apples"], [4]), timeout_seconds=10)
            wrapped = await engine.infer(self.call(["apples"], [-1]), timeout_seconds=10)
        finally:
            await engine.close()
        first, second = shorten(answer["pooled_embedding"], v3.HIDDEN)
        np.testing.assert_allclose(second, first, rtol=0, atol=TOLERANCE)
        assert unlike(second, expected_v3("separation", "apples"))
        # And -1, which no adapter has, is the last one's without a word.
        np.testing.assert_allclose(shorten(wrapped["pooled_embedding"], v3.HIDDEN)[0], first, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("fields", [{}, {"normalised": False}, {"late_chunking": True}])
async def test_the_decoy_output_is_never_asked_for(
    twin_triton: ServedTriton, twin_models: Path, fields: dict[str, object]
) -> None:
    async with serving(twin_triton, twin_models, V3) as (service, engine):
        result = await embed(service, "apples", task="separation", **fields)
    assert {name for call in engine.calls for name in call.outputs} <= {"pooled_embedding", "token_embeddings"}
    twin = v3.build()
    decoy = v3.pooler_output(twin.ids("apples"), task=2)
    assert decoy.shape == (twin.dimensions,), "its shape would fit"
    wanted = twin.hidden_states(twin.ids("apples"), task=2).mean(axis=0)
    if fields.get("normalised", True):
        decoy, wanted = decoy / np.linalg.norm(decoy), wanted / np.linalg.norm(wanted)
    assert unlike(decoy, wanted)
    assert_close(result, wanted)


async def test_prefixes_are_those_of_torchs_encode_and_come_once(twin_triton: ServedTriton, twin_models: Path) -> None:
    async with serving(twin_triton, twin_models, V3) as (service, _):
        for task in ("retrieval.query", "retrieval.passage"):
            bare = v3.build().vector(v3.build().ids("apples"), task=v3.TASKS.index(task))
            assert unlike(bare, expected_v3(task, "apples")), "the graph does not put the prefix there itself"
            assert_close(await embed(service, "apples", task=task), expected_v3(task, "apples"))
            own = v3.PROMPTS[task] + "apples"
            assert_close(await embed(service, own, task=task), expected_v3(task, "apples"))
        assert_close(await embed(service, "apples"), expected_v3("retrieval.query", "apples"))
        for task in ("separation", "classification", "text-matching"):
            assert_close(await embed(service, "apples", task=task), expected_v3(task, "apples"))


async def test_fewer_dimensions_are_the_first_ones_at_unit_length(twin_triton: ServedTriton, twin_models: Path) -> None:
    async with serving(twin_triton, twin_models, V3) as (service, _):
        result = await embed(service, "apples", task="separation", dimensions=16)
        assert_close(result, v3.build().vector(v3.build().ids("apples"), task=2, dimensions=16))
        assert result.warnings == ()
        assert (await embed(service, "apples", dimensions=17)).warnings


@pytest.mark.parametrize("model", [NANO, SMALL])
async def test_each_task_of_v5_is_computed_by_its_own_member(
    twin_triton: ServedTriton, twin_models: Path, model: str
) -> None:
    async with serving(twin_triton, twin_models, model) as (service, engine):
        for task, member, prefix in (
            ("retrieval.query", "retrieval", "Query: "),
            ("retrieval.passage", "retrieval", "Document: "),
            ("text-matching", "text-matching", "Document: "),
            ("clustering", "clustering", "Document: "),
            ("separation", "clustering", "Document: "),
            ("classification", "classification", "Document: "),
            (None, "text-matching", "Document: "),
        ):
            engine.calls.clear()
            result = await embed(service, "apples", task=task)
            assert_close(result, expected_v5(model, member, prefix + "apples"))
            assert {call.model for call in engine.calls} == {f"{model}-{member}"}
        assert_close(
            await embed(service, "Query: apples", task="clustering"), expected_v5(model, "clustering", "Query: apples")
        )


@pytest.mark.parametrize("model", [NANO, SMALL])
async def test_the_last_token_is_pooled_in_a_batch_of_unequal_lengths(
    twin_triton: ServedTriton, twin_models: Path, model: str
) -> None:
    texts = ["apples", *texts_of(20, seed=5, most=30)]
    async with serving(twin_triton, twin_models, model, calls_in_flight=1) as (service, engine):
        result = await embed(service, *texts, task="retrieval.query")
    assert any(len(set(call.inputs["attention_mask"].sum(axis=1).tolist())) > 1 for call in engine.calls), (
        "some rows were padded"
    )
    assert_close(result, *(expected_v5(model, "retrieval", "Query: " + text) for text in texts))
    hidden = twin_of(model, "retrieval").hidden_states(twin_of(model, "retrieval").ids("Query: apples"))
    mean = hidden.mean(axis=0) / np.linalg.norm(hidden.mean(axis=0))
    assert unlike(mean, expected_v5(model, "retrieval", "Query: apples")), "the common mistake would be seen"


async def test_the_name_without_a_size_is_the_first_one_served_and_means_retrieval(
    twin_triton: ServedTriton, twin_models: Path
) -> None:
    for served, model in (((), NANO), ((SMALL,), SMALL)):
        async with serving(twin_triton, twin_models, *served) as (service, _):
            result = await embed(service, "apples", "Query: apples", model="jina-embeddings-v5-text")
            assert result.model == model
        expected = [expected_v5(model, "retrieval", text) for text in ("Document: apples", "Query: apples")]
        assert_close(result, *expected)


async def test_a_graph_that_requires_token_types_gets_them(twin_triton: ServedTriton, twin_models: Path) -> None:
    twin = v2_base_en.build()
    async with serving(twin_triton, twin_models, "jina-embeddings-v2-base-en") as (service, engine):
        texts = texts_of(8, seed=2)
        result = await embed(service, *texts, task="ignored by a model without tasks")
        assert all(not call.inputs["token_type_ids"].any() for call in engine.calls)
        without = {name: tensor for name, tensor in engine.calls[0].inputs.items() if name != "token_type_ids"}
        with pytest.raises(InferenceFailed):
            await engine.infer(replace(engine.calls[0], inputs=without), timeout_seconds=10)
    assert_close(result, *(twin.vector(twin.ids(text)) for text in texts))


def test_every_model_is_loaded_once_and_batched_here_alone(twin_triton: ServedTriton, twin_models: Path) -> None:
    for card in Registry.from_repository(twin_models).cards:
        config = httpx.get(f"http://{twin_triton.http}/v2/models/{card.name}/config").json()
        assert [group["count"] for group in config["instance_group"]] == [1], card.name
        assert config["max_batch_size"] == 0


@pytest.fixture(scope="module")
def mixing_triton(
    tritonserver: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[ServedTriton, Path, Card]]:
    """A server of the quantized retrieval member of v5-nano, whose graph lets the rows of a batch influence another."""
    folder = tmp_path_factory.mktemp("mixing")
    repository = twin_repository(folder / "models", NANO)
    card = next(card for card in Registry.from_repository(repository).cards if card.member == "retrieval")
    with local_hub() as hub:
        publish_twins(hub, NANO)
        access = HubAccess(endpoint=hub.url, token="none")
        pull(card, Fetching(folder / "staging", SourceChoice.HUB, access), variant="quantized")
    triton = EmbeddedTriton(repository=repository, run_folder=folder / "run", ports=Ports(*pick_free(3)))
    with BackgroundTriton(triton) as background:
        report = background.start([card.name])
        ends = report.endpoints
        yield ServedTriton(ends.grpc, ends.http, ends.metrics, card.name, report, background), repository, card


async def test_a_text_of_a_variant_that_mixes_rows_has_the_same_vector_in_any_company(
    mixing_triton: tuple[ServedTriton, Path, Card],
) -> None:
    triton, repository, card = mixing_triton
    assert not read_installation(card).batch_invariant
    texts = texts_of(30, seed=8)
    async with serving(triton, repository, card.name) as (service, engine):
        alone = np.concatenate([(await embed(service, text, task="retrieval")).vectors for text in texts])
        together = (await embed(service, *texts, task="retrieval")).vectors
        rows = [call.inputs["input_ids"].shape[0] for call in engine.calls]
        mixed = await engine.infer(_in_one_call(engine.calls[: len(texts)], card), timeout_seconds=30)
    np.testing.assert_array_equal(together, alone)
    assert set(rows) == {1}
    shared = shorten(mixed["pooled_embedding"], card.embedding.dimensions)
    assert unlike(shared, alone), "or one call would have done"


def _in_one_call(calls: list[InferCall], card: Card) -> InferCall:
    """The rows of many calls as one, padded."""
    ids, mask = pad([call.inputs["input_ids"][0] for call in calls], pad_id=card.tokenizer.pad_id)
    return replace(calls[0], inputs={"input_ids": ids, "attention_mask": mask})
