"""A run as one HTML file: charts, tables and the machine, readable in light and dark, with nothing to fetch."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from gateway.bench.ceiling import NAME as CEILING
from gateway.bench.chart import Bar, bar_chart
from gateway.bench.direct import NAME as DIRECT
from gateway.bench.measurement import Generator
from gateway.bench.record import Record
from gateway.bench.summary import Figure, figures_of
from gateway.bench.tables import BARS_TITLE, COLUMNS, Table, bar_table, comparison_table, figure_table, parity_table
from gateway.bench.target import GATEWAY, is_own

CHARTS = (
    ("texts_per_second", "texts a second, more is better"),
    ("latency_p50_ms", "median latency in ms, less is better"),
    ("latency_p99_ms", "99th percentile of latency in ms, less is better"),
)
# Latency under a closed loop of many callers only says again how many there are.
_CHARTLESS = ("added", "encoding", "scaling", "soak")
_LATENCY_WORKLOADS = ("single", "interference", "poisson")

STYLE = """
:root { color-scheme: light dark; --ink: #1c2430; --dim: #5b6675; --paper: #ffffff; --line: #d8dee6;
  --ceiling: #8a94a3; --grpc: #3f8f6b; --gateway: #2f6fde; --other: #c2702a; --alarm: #b3261e; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6eaf0; --dim: #9aa5b4; --paper: #14181e; --line: #313946;
  --ceiling: #7d8896; --grpc: #57b98d; --gateway: #6ea2ff; --other: #e39a55; --alarm: #ff8a80; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); margin: 2rem auto;
  max-width: 60rem; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2rem; } h3 { font-size: 1rem; margin: 1.2rem 0 .3rem; }
.dim { color: var(--dim); } .alarm { color: var(--alarm); font-weight: 600; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; font-size: 13px; }
th, td { text-align: left; padding: .25rem .6rem; border-bottom: 1px solid var(--line); white-space: nowrap; }
svg { width: 100%; height: auto; max-width: 760px; display: block; }
svg text { font: 12px system-ui, sans-serif; fill: var(--ink); } svg .value { fill: var(--dim); }
svg .bar { fill: var(--other); } svg .ceiling { fill: var(--ceiling); } svg .grpc { fill: var(--grpc); }
svg .gateway { fill: var(--gateway); } svg .spread { stroke: var(--ink); stroke-width: 1.2; fill: none; }
"""


def page(record: Record) -> str:
    """A whole document, UTF-8."""
    title = f"{record.model}, {record.started_at[:10]}"
    tables = tables_of(record)
    first = [table for table in tables if table.title == BARS_TITLE]
    rest = [table for table in tables if table.title != BARS_TITLE]
    parts = [
        f"<h1>{escape(title)}</h1>",
        *_banners(record),
        _machine(record),
        *(_table(table) for table in first),
        *_charts(figures_of(record.measurements)),
        *(_table(table) for table in rest),
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head>\n<body>\n"
        + "\n".join(parts)
        + "\n</body></html>\n"
    )


def tables_of(record: Record, columns: Sequence[str] = tuple(COLUMNS)) -> list[Table]:
    """Those of a run that have rows; `columns` are those of the table of figures."""
    measured = record.measurements
    found = (bar_table(measured), comparison_table(measured), figure_table(measured, columns), parity_table(record))
    return [table for table in found if table.rows]


def _banners(record: Record) -> list[str]:
    void = [f"VOID: {record.void}"] if record.void else []
    quick = ["A quick run: it shows that everything works and is nothing to quote."] if record.quick else []
    return [f'<p class="alarm">{escape(text)}</p>' for text in (*void, *quick, *record.warnings)]


def _machine(record: Record) -> str:
    hardware = ", ".join(f"{name} {value}" for name, value in record.hardware.items())
    versions = ", ".join(f"{name} {value}" for name, value in record.versions.items())
    load = " ".join(f"{value:.2f}" for value in record.before.load)
    repeats = f"{record.plan.repeats} repeats of {record.plan.seconds:g} s"
    return f'<p class="dim">{escape(hardware)}<br>{escape(versions)}<br>load before {load}; {repeats}</p>'


def _charts(figures: Sequence[Figure]) -> list[str]:
    found = []
    for name, words in CHARTS:
        for workload in dict.fromkeys(figure.workload for figure in figures if figure.workload not in _CHARTLESS):
            if name != "texts_per_second" and not workload.startswith(_LATENCY_WORKLOADS):
                continue
            bars = [_bar(one) for one in figures if (one.workload, one.name) == (workload, name)]
            # A bar by itself says nothing that its figure in the table does not.
            if len(bars) > 1:
                found.append(f"<h3>{escape(workload)}: {escape(words)}</h3>{bar_chart(f'{workload}: {words}', bars)}")
    return found


def _bar(figure: Figure) -> Bar:
    kind = (
        GATEWAY if is_own(figure.contender) else figure.contender if figure.contender in (CEILING, DIRECT) else "other"
    )
    source = ", wrk" if figure.generator is Generator.WRK else ""
    return Bar(figure.contender + source, kind, figure.spread)


def _table(table: Table) -> str:
    head = "".join(f"<th>{escape(heading)}</th>" for heading in table.headings)
    body = "".join("<tr>" + "".join(map(_cell, row)) + "</tr>" for row in table.rows)
    return (
        f'<h2>{escape(table.title)}</h2><div class="scroll"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _cell(text: str) -> str:
    return f'<td class="alarm">{escape(text)}</td>' if text.startswith("NO") else f"<td>{escape(text)}</td>"
