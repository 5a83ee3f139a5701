"""The tables of a run as cells of text, the same for a terminal and a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gateway.bench.bars import Bar, Verdict, verdicts
from gateway.bench.measurement import Generator, Measurement
from gateway.bench.parity import LEAST_COSINE
from gateway.bench.record import COSINE, ParityResult, Record
from gateway.bench.spread import Spread
from gateway.bench.summary import Comparison, Figure, comparisons_of, figures_of

COLUMNS: Mapping[str, str] = {
    "texts_per_second": "texts/s",
    "latency_p50_ms": "p50 ms",
    "latency_p99_ms": "p99 ms",
    "server_cpu_ms_per_text": "server CPU ms/text",
    "server_cpu_seconds": "server CPU s",
    "client_cpu_seconds": "client CPU s",
    "texts_per_cpu_second": "texts/CPU s",
    "padding_ratio": "padding",
    "errors": "errors",
}
"""Figures that have a column, and its heading. Those of an open loop have their rate in the first."""

OF_THEIR_OWN: Mapping[str, str] = {
    "p99_over_idle": "p99 ms with bulk requests / alone",
    "bulk_over_alone": "bulk texts/s with single queries / alone",
    "added_p50_ms": "ms more than a direct call, median of the pairs",
    "added_p99_ms": "ms more than a direct call, p99 less p99",
    "paired_p99_ms": "ms more than a direct call, p99 of the pairs",
    "encode_base64_ms": "ms to write as base64",
    "encode_float_ms": "ms to write as numbers",
    "slowest_over_fastest": "texts/s of the slowest size / fastest",
    "cpu_slowest_over_fastest": "texts/CPU s of the slowest size / fastest",
    "memory_idle_mb": "MB held before",
    "memory_peak_mb": "MB held at most",
    "memory_rise_mb": "MB more than before, at most",
    "memory_slope_mb_per_minute": "MB a minute in the second half",
}
"""Figures that compare something by themselves, in words."""

NARROW_COLUMNS = ("texts_per_second", "latency_p50_ms", "latency_p99_ms", "server_cpu_ms_per_text", "errors")
"""What a terminal has room for; pages and documents have all."""

BARS_TITLE = "Bars"
ENOUGH_REPEATS = 5

_WITHOUT_SPREAD = ("server_cpu_seconds", "client_cpu_seconds", "errors")


@dataclass(frozen=True, slots=True)
class Table:
    """`rows` have a cell for each of `headings`."""

    title: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def figure_table(measurements: Sequence[Measurement], columns: Sequence[str] = tuple(COLUMNS)) -> Table:
    """A row for each contender in each workload; of `columns` those that no row has a value for are left out."""
    grouped: dict[tuple[str, str, Generator], dict[str, Spread]] = {}
    for figure in figures_of(measurements):
        own = grouped.setdefault((figure.workload, figure.contender, figure.generator), {})
        own[_column(figure)] = figure.spread
    used = [name for name in columns if any(name in own for own in grouped.values())]
    rows = [
        (workload, contender, generator.value, *(_cell(name, own.get(name)) for name in used))
        for (workload, contender, generator), own in grouped.items()
    ]
    headings = ("workload", "contender", "load from", *(COLUMNS[name] for name in used))
    return Table("Medians of the repeats [lowest, highest]", headings, tuple(rows))


def _cell(name: str, spread: Spread | None) -> str:
    if spread is None:
        return ""
    return short(spread.median) if name in _WITHOUT_SPREAD else shown(spread)


def _column(figure: Figure) -> str:
    return "texts_per_second" if figure.name == "requests_per_second" else figure.name


def comparison_table(measurements: Sequence[Measurement]) -> Table:
    """What was compared within each repeat."""
    compared = [(sentence(one), shown(one.spread)) for one in comparisons_of(measurements)]
    others = [
        (f"{one.workload}: {one.contender}, {OF_THEIR_OWN[one.name]}", shown(one.spread))
        for one in figures_of(measurements)
        if one.name in OF_THEIR_OWN
    ]
    return Table("Compared within each repeat", ("what", "median [lowest, highest]"), (*compared, *others))


def sentence(one: Comparison) -> str:
    """What was compared, such as `bulk: gateway / ceiling, texts/s`."""
    source = ", wrk" if one.generator is Generator.WRK else ""
    return f"{one.workload}{source}: {one.contender} / {one.reference}, {COLUMNS[one.name]}"


def bar_table(measurements: Sequence[Measurement]) -> Table:
    """What is claimed, and whether this run shows it."""
    rows = tuple(
        (one.bar.claim, one.contender, allowed(one.bar), f"{shown(one.spread)} {one.bar.unit}".strip(), _verdict(one))
        for one in verdicts(measurements)
    )
    return Table(BARS_TITLE, ("claim", "of", "bar", "measured", "reached"), rows)


def allowed(bar: Bar) -> str:
    """`>= 0.95` or `<= 1.5 ms`."""
    sign, bound = (">=", bar.at_least) if bar.at_least is not None else ("<=", bar.at_most)
    return f"{sign} {bound:g} {bar.unit}".strip()


def _verdict(verdict: Verdict) -> str:
    reached = "yes" if verdict.holds else "NO"
    return reached if verdict.repeats >= ENOUGH_REPEATS or verdict.bar.workload == "soak" else f"{reached}, few repeats"


def parity_table(record: Record) -> Table:
    rows = tuple(
        (one.contender, f"{one.difference:.1e}", f"{one.cosine:.7f}", str(one.vectors), _agrees(one))
        for one in record.parity
    )
    title = f"Vectors beside the in-process ones: {record.tolerance:g} apart at most, or a cosine of {LEAST_COSINE}"
    return Table(title, ("contender", "largest difference", "least cosine", "vectors", "the same"), rows)


def _agrees(result: ParityResult) -> str:
    if not result.holds:
        return "NO"
    return "yes, by the cosine" if result.rule == COSINE else "yes"


def shown(spread: Spread) -> str:
    """`median [lowest, highest]`; the median alone where all are the same."""
    median, lowest, highest = map(short, (spread.median, spread.lowest, spread.highest))
    return median if lowest == highest else f"{median} [{lowest}, {highest}]"


def short(value: float) -> str:
    """With three digits that count, whole from 100 on; 0 is 0."""
    if value == 0:
        return "0"
    size = abs(value)
    if size >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if size >= 10 else f"{value:.2f}" if size >= 0.1 else f"{value:.2g}"
