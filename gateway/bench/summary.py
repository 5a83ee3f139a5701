"""Measurements of all repeats as what is quoted: medians with their spread, and ratios taken within a repeat."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from gateway.bench.ceiling import NAME as CEILING
from gateway.bench.direct import NAME as DIRECT
from gateway.bench.measurement import Generator, Measurement
from gateway.bench.spread import Spread, spread_of
from gateway.bench.target import GATEWAY

THROUGHPUT = "texts_per_second"
LATENCIES = ("latency_p50_ms", "latency_p99_ms")


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure of one contender in one workload. `values` are by repeat, in order."""

    workload: str
    contender: str
    generator: Generator
    name: str
    values: tuple[float, ...]
    spread: Spread


class Operation(Enum):
    """How two figures of one repeat are compared: contender / reference, or contender - reference."""

    RATIO = "ratio"
    DIFFERENCE = "difference"


@dataclass(frozen=True, slots=True)
class Comparison:
    """A contender's figure against a reference's of the same repeat; `values` are by repeat, in order."""

    workload: str
    contender: str
    reference: str
    generator: Generator
    name: str
    operation: Operation
    values: tuple[float, ...]
    spread: Spread


Key = tuple[str, str, Generator]
"""Workload, contender, generator."""


def figures_of(measurements: Sequence[Measurement]) -> list[Figure]:
    """In the order in which they were first measured in an even repeat, so that the order of turns does not show."""
    found = []
    for (workload, contender, generator), by_name in _by_key(measurements).items():
        for name, by_repeat in by_name.items():
            values = tuple(value for _, value in sorted(by_repeat.items()))
            found.append(Figure(workload, contender, generator, name, values, spread_of(values)))
    return found


def comparisons_of(measurements: Sequence[Measurement]) -> list[Comparison]:
    """Throughput against the ceiling's, what the gateway adds to a direct call, and the gateway against every other
    server: throughput as gateway / other, latency as other / gateway, so that more is better in both."""
    keyed = _by_key(measurements)
    wanted = (_against_the_ceiling, _over_a_direct_call, _against_the_gateway)
    return [one for key in keyed for compare in wanted for one in compare(key, keyed) if one is not None]


def _against_the_ceiling(key: Key, keyed: Mapping[Key, _Figures]) -> Iterator[Comparison | None]:
    workload, contender, generator = key
    reference = (workload, CEILING, Generator.IN_PROCESS)
    if contender != CEILING and workload != "single":
        yield _compared(keyed, key, reference, THROUGHPUT, Operation.RATIO, generator=generator)


def _over_a_direct_call(key: Key, keyed: Mapping[Key, _Figures]) -> Iterator[Comparison | None]:
    workload, contender, generator = key
    if (workload, contender, generator) == ("single", GATEWAY, Generator.PYTHON):
        for name in LATENCIES:
            reference = (workload, DIRECT, Generator.PYTHON)
            yield _compared(keyed, key, reference, name, Operation.DIFFERENCE, generator=generator)


def _against_the_gateway(key: Key, keyed: Mapping[Key, _Figures]) -> Iterator[Comparison | None]:
    workload, contender, generator = key
    if contender in (CEILING, DIRECT, GATEWAY):
        return
    own = (workload, GATEWAY, generator)
    yield _compared(keyed, own, key, THROUGHPUT, Operation.RATIO, generator=generator)
    for name in LATENCIES:
        yield _compared(keyed, key, own, name, Operation.RATIO, generator=generator)


_Figures = Mapping[str, Mapping[int, float]]

_OPERATIONS: Mapping[Operation, Callable[[float, float], float]] = {
    Operation.RATIO: lambda one, other: one / other,
    Operation.DIFFERENCE: lambda one, other: one - other,
}


def _compared(
    keyed: Mapping[Key, _Figures], one: Key, other: Key, name: str, operation: Operation, *, generator: Generator
) -> Comparison | None:
    """None where the two have no repeat in common in which the figure can be compared."""
    ours, theirs = keyed.get(one, {}).get(name, {}), keyed.get(other, {}).get(name, {})
    repeats = [repeat for repeat in sorted(ours) if theirs.get(repeat)]
    values = tuple(_OPERATIONS[operation](ours[repeat], theirs[repeat]) for repeat in repeats)
    if not values:
        return None
    return Comparison(one[0], one[1], other[1], generator, name, operation, values, spread_of(values))


def _by_key(measurements: Sequence[Measurement]) -> dict[Key, dict[str, dict[int, float]]]:
    keyed: dict[Key, dict[str, dict[int, float]]] = {}
    for one in sorted(measurements, key=lambda measured: measured.repeat):
        names = keyed.setdefault((one.workload, one.contender, one.generator), {})
        for name, value in one.figures.items():
            names.setdefault(name, {})[one.repeat] = value
    return keyed
