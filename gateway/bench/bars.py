"""What the project claims of itself, as numbers that a run either reaches or misses: each bar and its verdict."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from gateway.bench.ceiling import NAME as CEILING
from gateway.bench.measurement import Generator, Measurement
from gateway.bench.spread import Spread
from gateway.bench.summary import Comparison, Figure, comparisons_of, figures_of
from gateway.bench.target import GATEWAY, VARIANT_PREFIX, is_own

FAST = f"{VARIANT_PREFIX}fast"
"""What a stack in GATEWAY_PRECISION=fast is called where a run has one beside the usual one."""


@dataclass(frozen=True, slots=True)
class Bar:
    """One claim about the median of `figure` of `workload`: that of `contender`, or, where `reference` is given, the
    comparison of the two. `reference` OTHERS stands for every server that is not ours. One of `at_least` and `at_most`
    is given."""

    claim: str
    workload: str
    figure: str
    contender: str = GATEWAY
    generator: Generator = Generator.PYTHON
    reference: str | None = None
    at_least: float | None = None
    at_most: float | None = None
    unit: str = ""

    def allows(self, value: float) -> bool:
        return (self.at_least is None or value >= self.at_least) and (self.at_most is None or value <= self.at_most)


@dataclass(frozen=True, slots=True)
class Verdict:
    """`contender` says of what, such as `gateway / ceiling`."""

    bar: Bar
    contender: str
    spread: Spread
    repeats: int

    @property
    def holds(self) -> bool:
        return self.bar.allows(self.spread.median)


OTHERS = "others"
RATE, CPU_RATE, P50 = "texts_per_second", "texts_per_cpu_second", "latency_p50_ms"
WRK, HERE = Generator.WRK, Generator.IN_PROCESS

BARS: Sequence[Bar] = (
    Bar("bulk throughput, of the in-process ceiling's", "bulk", RATE, reference=CEILING, at_least=0.95),
    Bar("long texts' throughput, of the ceiling's", "long", RATE, reference=CEILING, at_least=0.97),
    Bar("64 clients, wrk, of the ceiling's", "many", RATE, generator=WRK, reference=CEILING, at_least=0.85),
    Bar("the same per processor second", "many", CPU_RATE, generator=WRK, reference=CEILING, at_least=0.85),
    Bar("padding in bulk", "bulk", "padding_ratio", at_most=1.05),
    Bar("padding online", "many", "padding_ratio", generator=WRK, at_most=1.25),
    Bar("padding online, mixed lengths", "mixed", "padding_ratio", at_most=1.25),
    Bar("added to a direct gRPC call, median", "added", "added_p50_ms", at_most=0.6, unit="ms"),
    Bar("added to a direct gRPC call, 99th percentile", "added", "added_p99_ms", at_most=1.5, unit="ms"),
    Bar("single queries' p99 beside bulk, of that alone", "interference", "p99_over_idle", at_most=3.0),
    Bar("2,048 x 1,024 as base64", "encoding", "encode_base64_ms", generator=HERE, at_most=5.0, unit="ms"),
    Bar("2,048 x 1,024 as numbers", "encoding", "encode_float_ms", generator=HERE, at_most=45.0, unit="ms"),
    Bar("1,000 to 100,000 texts: slowest rate, of the fastest", "scaling", "slowest_over_fastest", at_least=0.9),
    Bar("the same per processor second", "scaling", "cpu_slowest_over_fastest", at_least=0.9),
    Bar("memory under the largest requests, over idle", "soak", "memory_rise_mb", at_most=300.0, unit="MB"),
    Bar("its slope", "soak", "memory_slope_mb_per_minute", at_most=3.0, unit="MB/min"),
    Bar("fast: bulk, of the fp32 ceiling's", "bulk", RATE, FAST, reference=CEILING, at_least=1.6),
    Bar("64 clients, wrk, of another server's", "many", RATE, generator=WRK, reference=OTHERS, at_least=3.5),
    Bar("bulk, of another server's", "bulk", RATE, reference=OTHERS, at_least=2.2),
    Bar("single query, median: another server's, of ours", "single", P50, reference=OTHERS, at_least=5.0),
    Bar("fast: 64 clients, wrk, of another server's", "many", RATE, FAST, WRK, reference=OTHERS, at_least=6.0),
    Bar("fast: bulk, of another server's", "bulk", RATE, FAST, reference=OTHERS, at_least=4.0),
    Bar("fast: single query, median: another server's, of ours", "single", P50, FAST, reference=OTHERS, at_least=7.0),
)


def verdicts(measurements: Sequence[Measurement], bars: Sequence[Bar] = BARS) -> list[Verdict]:
    """Of the bars that this run measured; with several other servers one for each."""
    return [verdict for bar in bars for verdict in _of(bar, measurements)]


def _of(bar: Bar, measurements: Sequence[Measurement]) -> Iterator[Verdict]:
    if bar.reference is None:
        for one in figures_of(measurements):
            if one.contender == bar.contender and _is_same_figure(bar, one):
                yield Verdict(bar, one.contender, one.spread, len(one.values))
        return
    for two in comparisons_of(measurements):
        if _is_same_figure(bar, two) and _is_meant(bar, two.contender, two.reference):
            yield Verdict(bar, f"{two.contender} / {two.reference}", two.spread, len(two.values))


def _is_same_figure(bar: Bar, one: Figure | Comparison) -> bool:
    return (one.workload, one.generator, one.name) == (bar.workload, bar.generator, bar.figure)


def _is_meant(bar: Bar, contender: str, reference: str) -> bool:
    """Latency is compared as another server's by ours, so that more is better in all of them."""
    if bar.reference != OTHERS:
        return (contender, reference) == (bar.contender, bar.reference)
    ours, other = (reference, contender) if bar.figure == P50 else (contender, reference)
    return ours == bar.contender and other != CEILING and not is_own(other)
