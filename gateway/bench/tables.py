"""The tables of a run as cells of text, the same for a terminal and a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gateway.bench.measurement import Generator, Measurement
from gateway.bench.record import Record
from gateway.bench.spread import Spread
from gateway.bench.summary import Comparison, Figure, Operation, comparisons_of, figures_of

COLUMNS: Mapping[str, str] = {
    "texts_per_second": "texts/s",
    "latency_p50_ms": "p50 ms",
    "latency_p99_ms": "p99 ms",
    "server_cpu_ms_per_text": "server CPU ms/text",
    "server_cpu_seconds": "server CPU s",
    "client_cpu_seconds": "client CPU s",
    "padding_ratio": "padding",
    "errors": "errors",
}
"""Figures that have a column, and its heading. Those of an open loop have their rate in the first."""

_WITHOUT_SPREAD = ("server_cpu_seconds", "client_cpu_seconds", "errors")


@dataclass(frozen=True, slots=True)
class Table:
    """`rows` have a cell for each of `headings`."""

    title: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def figure_table(measurements: Sequence[Measurement]) -> Table:
    """A row for each contender in each workload; columns that no row has a value for are left out."""
    grouped: dict[tuple[str, str, Generator], dict[str, Spread]] = {}
    for figure in figures_of(measurements):
        own = grouped.setdefault((figure.workload, figure.contender, figure.generator), {})
        own[_column(figure)] = figure.spread
    used = [name for name in COLUMNS if any(name in own for own in grouped.values())]
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
    """What was compared within each repeat, and what bulk requests did to single ones."""
    compared = [(sentence(one), shown(one.spread)) for one in comparisons_of(measurements)]
    disturbed = [
        (f"{one.workload}: {one.contender}, p99 ms with bulk requests / alone", shown(one.spread))
        for one in figures_of(measurements)
        if one.name == "p99_over_idle"
    ]
    return Table("Compared within each repeat", ("what", "median [lowest, highest]"), (*compared, *disturbed))


def sentence(one: Comparison) -> str:
    """What was compared, such as `bulk: gateway / ceiling, texts/s`."""
    sign = "/" if one.operation is Operation.RATIO else "-"
    source = ", wrk" if one.generator is Generator.WRK else ""
    unit = COLUMNS[one.name]
    return f"{one.workload}{source}: {one.contender} {sign} {one.reference}, {unit}"


def parity_table(record: Record) -> Table:
    rows = tuple(
        (one.contender, f"{one.difference:.1e}", str(one.vectors), "yes" if one.holds else "NO")
        for one in record.parity
    )
    title = f"Vectors compared with the in-process ones, largest difference allowed {record.tolerance:g}"
    return Table(title, ("contender", "largest difference", "vectors", "the same"), rows)


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
