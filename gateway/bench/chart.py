"""Bars with their spread as SVG: drawn here, so that a page needs no library and asks nobody for one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from gateway.bench.spread import Spread
from gateway.bench.tables import shown

WIDTH = 760
LABEL_WIDTH = 150
VALUE_WIDTH = 170
ROW_HEIGHT = 26
BAR_HEIGHT = 16
AXIS_WIDTH = WIDTH - LABEL_WIDTH - VALUE_WIDTH


@dataclass(frozen=True, slots=True)
class Bar:
    """`kind` chooses the colour: ceiling, grpc, gateway or other."""

    label: str
    kind: str
    spread: Spread


def bar_chart(title: str, bars: Sequence[Bar]) -> str:
    """An `<svg>` of horizontal bars from zero, as long as the median, a line from lowest to highest across each end.

    Raises `ValueError` for no bars or a value below zero.
    """
    if not bars or min(bar.spread.lowest for bar in bars) < 0:
        raise ValueError("a chart needs bars, and bars have no length below zero")
    longest = max(bar.spread.highest for bar in bars) or 1.0
    height = ROW_HEIGHT * len(bars)
    drawn = "".join(_bar(bar, place, longest) for place, bar in enumerate(bars))
    name = escape(title, quote=True)
    return (
        f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{name}" xmlns="http://www.w3.org/2000/svg">'
        f"<title>{name}</title>{drawn}</svg>"
    )


def _bar(bar: Bar, place: int, longest: float) -> str:
    def at(value: float) -> float:
        return LABEL_WIDTH + AXIS_WIDTH * value / longest

    top = place * ROW_HEIGHT + (ROW_HEIGHT - BAR_HEIGHT) / 2
    middle = place * ROW_HEIGHT + ROW_HEIGHT / 2
    text = middle + 4
    low, median, high = at(bar.spread.lowest), at(bar.spread.median), at(bar.spread.highest)
    return (
        f'<text class="label" x="{LABEL_WIDTH - 8}" y="{text:g}" text-anchor="end">{escape(bar.label)}</text>'
        f'<rect class="bar {escape(bar.kind, quote=True)}" x="{LABEL_WIDTH}" y="{top:g}" '
        f'width="{median - LABEL_WIDTH:.2f}" height="{BAR_HEIGHT}" rx="2"/>'
        f'<path class="spread" d="M{low:.2f} {middle:g}H{high:.2f}M{low:.2f} {middle - 4:g}v8M{high:.2f} '
        f'{middle - 4:g}v8"/>'
        f'<text class="value" x="{high + 8:.2f}" y="{text:g}">{escape(shown(bar.spread))}</text>'
    )
