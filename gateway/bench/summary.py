"""Measurements of all repeats as what is quoted: medians with their spread, and ratios taken within a repeat."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from gateway.bench.ceiling import NAME as CEILING
from gateway.bench.direct import NAME as DIRECT
from gateway.bench.measurement import Generator, Measurement
from gateway.bench.spread import Spread, spread_of
from gateway.bench.target import GATEWAY, is_own

THROUGHPUT = "texts_per_second"
CPU_THROUGHPUT = "texts_per_cpu_second"
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


@dataclass(frozen=True, slots=True)
class Comparison:
    """A contender's figure divided by a reference's of the same repeat; `values` are by repeat, in order. `generator`
    is what sent the contender's load."""

    workload: str
    contender: str
    reference: str
    generator: Generator
    name: str
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
    """Throughput against the ceiling's, by the clock and by the server's processor time; a gateway of other settings
    against the measured one; and each of ours against every other server: throughput as ours / other, latency as
    other / ours, so that more is better in all of them."""
    keyed = _by_key(measurements)
    wanted = (_against_the_ceiling, _against_other_settings, _against_ours)
    return [one for key in keyed for compare in wanted for one in compare(key, keyed) if one is not None]


def _against_the_ceiling(key: Key, keyed: Mapping[Key, _Figures]) -> Iterator[Comparison | None]:
    workload, contender, _ = key
    reference = (workload, CEILING, Generator.IN_PROCESS)
    if contender == CEILING or workload == "single":
        return
    for name in (THROUGHPUT, CPU_THROUGHPUT):
        yield _compared(keyed, key, reference, name)


def _against_other_settings(key: Key, keyed: Mapping[Key, _Figures]) -> Iterator[Comparison | None]:
    workload, contender, generator = key
    if contender != GATEWAY and is_own(contender):
        yield from _better(keyed, key, (workload, GATEWAY, generator))


def _against_ours(key: Key, keyed: Mapping[Key, _Figures]) -> Iterator[Comparison | None]:
    workload, contender, generator = key
    if contender in (CEILING, DIRECT) or is_own(contender):
        return
    for ours in keyed:
        if (ours[0], ours[2]) == (workload, generator) and is_own(ours[1]):
            yield from _better(keyed, ours, key)


def _better(keyed: Mapping[Key, _Figures], one: Key, other: Key) -> Iterator[Comparison | None]:
    """How many times better the one is."""
    yield _compared(keyed, one, other, THROUGHPUT)
    for name in LATENCIES:
        yield _compared(keyed, other, one, name)


_Figures = Mapping[str, Mapping[int, float]]


def _compared(keyed: Mapping[Key, _Figures], one: Key, other: Key, name: str) -> Comparison | None:
    """None where the two have no repeat in common in which the figure can be compared."""
    ours, theirs = keyed.get(one, {}).get(name, {}), keyed.get(other, {}).get(name, {})
    repeats = [repeat for repeat in sorted(ours) if theirs.get(repeat)]
    values = tuple(ours[repeat] / theirs[repeat] for repeat in repeats)
    if not values:
        return None
    return Comparison(one[0], one[1], other[1], one[2], name, values, spread_of(values))


def _by_key(measurements: Sequence[Measurement]) -> dict[Key, dict[str, dict[int, float]]]:
    keyed: dict[Key, dict[str, dict[int, float]]] = {}
    for one in sorted(measurements, key=lambda measured: measured.repeat):
        names = keyed.setdefault((one.workload, one.contender, one.generator), {})
        for name, value in one.figures.items():
            names.setdefault(name, {})[one.repeat] = value
    return keyed
