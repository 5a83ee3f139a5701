"""What is asked of the contenders, by name: texts, how many in a request, how many callers at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from gateway.bench.texts import alike_lengths, half_repeated, long_texts, mixed_length, short_queries


class Workload(Enum):
    """One kind of load; the value is its name on the command line and in results."""

    SINGLE = "single"
    ADDED = "added"
    MANY = "many"
    BULK = "bulk"
    LONG = "long"
    MIXED = "mixed"
    DUPLICATES = "duplicates"
    INTERFERENCE = "interference"
    POISSON = "poisson"
    ENCODING = "encoding"
    SCALING = "scaling"
    SOAK = "soak"


DESCRIPTIONS = {
    Workload.SINGLE: "one client, one short query at a time; contenders take turns every ten queries",
    Workload.ADDED: "one short query at a time, in pairs of a direct gRPC call and one through the gateway",
    Workload.MANY: "64 clients, one short query each",
    Workload.BULK: "one client, many texts of mixed length a request",
    Workload.LONG: "one client, texts of 200 words",
    Workload.MIXED: "4 clients, 1 to 64 texts of mixed length a request",
    Workload.DUPLICATES: "4 clients, every second text one of a few that all ask for",
    Workload.INTERFERENCE: "one client of short queries, alone and while another sends bulk requests",
    Workload.POISSON: "short queries that arrive at random, at 50, 80 and 95 % of the rate that 64 clients get",
    Workload.ENCODING: "2,048 vectors of 1,024 values written as base64 and as numbers, in this process",
    Workload.SCALING: "1,000 to 100,000 tiny texts in requests of 2,048 from 8 clients; only where it is asked for",
    Workload.SOAK: "8 clients, 2,048 texts and 297,000 tokens a request, and memory; only where it is asked for",
}

LONG_LASTING = frozenset({Workload.SCALING, Workload.SOAK})
"""Those that a run has only where they are named."""

USUAL = tuple(workload for workload in Workload if workload not in LONG_LASTING)

DUPLICATE_REQUESTS = 64
"""More than are answered in a measurement of a few seconds, so that no request comes twice."""

OPEN_LOOP_SHARES = (50, 80, 95)
"""Percent of the measured capacity."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured. `seconds` is the length of each throughput measurement and of each rate of the open loop;
    requests under way then are waited for. `singles` is how many queries each contender gets one by one, and `pairs`
    how often a direct call and the gateway are compared. `scaling_texts` are how many texts are sent, one size after
    the other; `soak_texts` are those of a request under `soak`. `limit_seconds` ends the run: what has begun is
    finished, the rest is left out."""

    workloads: tuple[Workload, ...]
    repeats: int
    seconds: float
    singles: int
    pairs: int
    bulk_texts: int
    long_texts: int
    scaling_texts: tuple[int, ...]
    soak_texts: int
    soak_seconds: float
    limit_seconds: float


def full_plan(
    workloads: Sequence[Workload], *, repeats: int, seconds: float, limit_seconds: float, soak_seconds: float = 600.0
) -> Plan:
    """What results are quoted from."""
    sizes = (1000, 10_000, 100_000)
    return Plan(tuple(workloads), repeats, seconds, 300, 800, 256, 64, sizes, 2048, soak_seconds, limit_seconds)


def quick_plan(
    workloads: Sequence[Workload], *, repeats: int, seconds: float, limit_seconds: float, soak_seconds: float = 10.0
) -> Plan:
    """Enough to see that everything works, too little to quote."""
    sizes = (100, 1000)
    return Plan(tuple(workloads), repeats, seconds, 40, 120, 64, 16, sizes, 128, soak_seconds, limit_seconds)


@dataclass(frozen=True, slots=True)
class ClosedLoad:
    """Requests (the texts of each) and how many callers take turns through them."""

    clients: int
    requests: tuple[tuple[str, ...], ...]

    @property
    def texts(self) -> list[str]:
        return [text for request in self.requests for text in request]


def singles() -> list[str]:
    """The short queries of every workload that has such."""
    return short_queries(1024, seed=99)


def closed_load(workload: Workload, plan: Plan, *, repeat: int = 0) -> ClosedLoad:
    """The load of a workload that is a closed loop, the same in every repeat but for `duplicates`: whoever keeps
    vectors would have those of the last one. Raises `ValueError` for a workload that is none."""
    match workload:
        case Workload.MANY:
            return ClosedLoad(64, tuple((text,) for text in singles()))
        case Workload.BULK:
            return ClosedLoad(1, tuple(tuple(alike_lengths(plan.bulk_texts, seed=seed)) for seed in range(8)))
        case Workload.LONG:
            return ClosedLoad(1, tuple(tuple(long_texts(plan.long_texts, seed=seed)) for seed in range(4)))
        case Workload.MIXED:
            return ClosedLoad(4, _of_many_sizes(mixed_length(1024, seed=21)))
        case Workload.DUPLICATES:
            pool = mixed_length(32, seed=31)
            turns = range(DUPLICATE_REQUESTS * repeat, DUPLICATE_REQUESTS * (repeat + 1))
            return ClosedLoad(4, tuple(_half_repeated(plan.bulk_texts // 4, pool, turn) for turn in turns))
        case _:
            raise ValueError(f"{workload.value} is no closed loop")


CLOSED = (Workload.MANY, Workload.BULK, Workload.LONG, Workload.MIXED, Workload.DUPLICATES)


def _half_repeated(count: int, pool: list[str], turn: int) -> tuple[str, ...]:
    return tuple(half_repeated(count, pool=pool, seed=100 + turn))


def _of_many_sizes(texts: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    """Requests of 1, 2, 4, ... 64 texts and again from 1, until none are left."""
    requests, start, size = [], 0, 1
    while start < len(texts):
        requests.append(tuple(texts[start : start + size]))
        start, size = start + size, 1 if size == 64 else 2 * size
    return tuple(requests)
