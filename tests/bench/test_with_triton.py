"""All contenders against a real Triton and gateway: the same vectors, figures of every workload, and a whole run."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np
import pytest

from gateway.bench.ceiling import Ceiling
from gateway.bench.contenders import Contest
from gateway.bench.entrants import ready_to_start
from gateway.bench.model_rows import benchable_card
from gateway.bench.parity import probe_texts
from gateway.bench.run import run
from gateway.bench.staging import Cast, check_names, staged
from gateway.bench.target import Target, target_at
from gateway.bench.workloads import Workload, quick_plan
from gateway.cards.registry import Registry
from gateway.errors import ConfigurationError
from gateway.types import Float32Array
from tests.conftest import BUNDLED_MODEL, REPOSITORY, ServedTriton

pytestmark = pytest.mark.triton

SMALL = dataclasses.replace(
    quick_plan([Workload.SINGLE], repeats=1, seconds=0.1, limit_seconds=120.0, soak_seconds=0.1),
    singles=20,
    pairs=100,
    bulk_texts=8,
    long_texts=2,
    scaling_texts=(10, 100),
    soak_texts=2,
)


@pytest.fixture(scope="module")
def contest(embedded_triton: ServedTriton, gateway_url: str) -> Iterator[Contest]:
    """The gateway of the session, its Triton, and itself once more as another server. wrk is left out: it cannot run
    for less than a second."""
    card = benchable_card(Registry.from_repository(REPOSITORY), BUNDLED_MODEL)
    cast = Cast(card, REPOSITORY, url=gateway_url, triton=embedded_triton.grpc, others={"twin": f"{gateway_url}/v1"})
    with staged(cast) as made:
        yield dataclasses.replace(made, wrk=None)


@dataclasses.dataclass
class Told:
    """What a run says while it goes on."""

    steps: int = 0
    labels: list[tuple[int, str]] = dataclasses.field(default_factory=list)

    def begin(self, steps: int) -> None:
        self.steps = steps

    def step(self, label: str, *, repeat: int) -> None:
        self.labels.append((repeat, label))


def test_all_give_the_same_vectors(contest: Contest) -> None:
    texts = probe_texts()
    expected = contest.ceiling.embed(texts)
    assert expected.shape == (len(texts), 384)
    assert np.linalg.norm(expected, axis=1) == pytest.approx(1.0, abs=1e-5)
    for contender in contest.contenders[1:]:
        assert np.abs(contender.embed(texts) - expected).max() <= 1e-5, contender.name


def test_a_run_of_every_workload(contest: Contest) -> None:
    plan, told = dataclasses.replace(SMALL, workloads=tuple(Workload)), Told()
    outcome = run(contest, plan, progress=told)
    assert outcome.void is None
    assert outcome.warnings == []
    measured = {(one.workload, one.contender): one.figures for one in outcome.measurements}
    closed = {
        (workload, name)
        for workload in ("single", "many", "bulk", "long", "mixed", "duplicates")
        for name in ("ceiling", "grpc", "gateway", "twin")
    }
    of_servers = {
        (workload, name)
        for workload in ("interference", "poisson-50", "poisson-80", "poisson-95")
        for name in ("gateway", "twin")
    }
    of_the_gateway = {(name, "gateway") for name in ("encoding", "scaling", "scaling-10", "scaling-100", "soak")}
    assert set(measured) == closed | of_servers | of_the_gateway | {("added", "grpc"), ("added", "gateway")}
    # Single and added, closed loops, interference and open loop, encoding, scaling and soak.
    assert len(told.labels) == told.steps == 2 + 5 * 4 + 2 * 2 + 3
    assert all(figures.get("errors", 0) == 0 for figures in measured.values())
    # Both are differences, which noise makes negative now and then.
    assert {"added_p50_ms", "added_p99_ms"} <= measured["added", "gateway"].keys()
    assert measured["encoding", "gateway"]["encode_base64_ms"] > 0
    assert measured["many", "ceiling"]["texts_per_cpu_second"] > 0
    assert all(measured[key]["texts_per_second"] > 0 for key in closed)
    assert all(measured[key]["latency_p50_ms"] > 0 for key in of_servers)
    for workload in ("many", "bulk", "mixed"):
        assert measured[workload, "gateway"]["padding_ratio"] >= 1.0
        assert "padding_ratio" not in measured[workload, "grpc"]
    # The gateway of these tests runs in this very process.
    assert measured["bulk", "gateway"]["server_cpu_seconds"] > 0
    # Beside the probes one answer of each closed load was computed again.
    assert {one.contender: one.vectors > len(probe_texts()) for one in outcome.parity}["gateway"]
    assert outcome.during is not None


def test_a_difference_that_is_not_allowed_voids_the_run_before_anything_is_timed(
    contest: Contest, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = Ceiling.embed

    def wrong(self: Ceiling, texts: list[str]) -> Float32Array:
        return right(self, texts) + np.float32(1e-4)

    monkeypatch.setattr(Ceiling, "embed", wrong)
    told = Told()
    outcome = run(contest, SMALL, progress=told)
    assert outcome.void is not None
    assert outcome.measurements == []
    assert told.labels == []


def test_a_run_ends_at_its_time_limit_and_says_what_it_left_out(contest: Contest) -> None:
    outcome = run(contest, dataclasses.replace(SMALL, limit_seconds=0.0), progress=Told())
    assert outcome.measurements == []
    assert "time limit" in outcome.warnings[0]
    assert outcome.void is None


def test_without_tritons_address_there_are_no_direct_calls(gateway_url: str) -> None:
    card = benchable_card(Registry.from_repository(REPOSITORY), BUNDLED_MODEL)
    with staged(Cast(card, REPOSITORY, url=gateway_url)) as made:
        assert [contender.name for contender in made.contenders] == ["ceiling", "gateway"]
        assert made.servers[0].server_pid is not None


def test_a_server_that_does_not_know_the_model_is_told_at_the_start(gateway_url: str) -> None:
    target = target_at(gateway_url, name="rival", model="no-such-model")
    with pytest.raises(ConfigurationError, match="rival answered 404") as refused:
        ready_to_start(target)
    assert "--model-of rival=MODEL" in (refused.value.remedy or "")


def test_a_server_that_is_not_there_is_told_at_the_start() -> None:
    with pytest.raises(ConfigurationError, match="cannot be asked"):
        ready_to_start(Target("rival", "127.0.0.1", 9, "/v1/embeddings", "m"))


@pytest.mark.parametrize("name", ["jina-embeddings-v4", "jina-reranker-v2-base-multilingual", "no-such-model"])
def test_a_model_without_a_ceiling_is_refused(name: str) -> None:
    with pytest.raises(ConfigurationError):
        benchable_card(Registry.from_repository(REPOSITORY), name)


def test_of_a_family_a_member_is_asked_for() -> None:
    with pytest.raises(ConfigurationError, match="jina-embeddings-v5-text-nano-retrieval"):
        benchable_card(Registry.from_repository(REPOSITORY), "jina-embeddings-v5-text-nano")


def test_names_that_mean_something_else_are_refused() -> None:
    card = benchable_card(Registry.from_repository(REPOSITORY), BUNDLED_MODEL)
    for cast in (
        Cast(card, REPOSITORY, others={"gateway": "http://h"}),
        Cast(card, REPOSITORY, others={"gateway-fast": "http://h"}),
        Cast(card, REPOSITORY, models={"rival": "m"}),
        Cast(card, REPOSITORY, keys={"rival": "k"}),
    ):
        with pytest.raises(ConfigurationError):
            check_names(cast)
    check_names(Cast(card, REPOSITORY, others={"rival": "http://h"}, models={"rival": "m", "gateway": "n"}))
