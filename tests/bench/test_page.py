"""Tables, charts and the page: well formed whatever the names, complete, and asking nobody for anything."""

from __future__ import annotations

import io
import re
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from gateway.bench.chart import AXIS_WIDTH, LABEL_WIDTH, WIDTH, Bar, bar_chart
from gateway.bench.measurement import Measurement
from gateway.bench.page import page
from gateway.bench.record import Record
from gateway.bench.spread import Spread, spread_of
from gateway.bench.tables import comparison_table, figure_table, short, shown
from gateway.bench.terminal import print_record
from tests.bench.records import MEASUREMENTS, NAMES, RECORDS, VALUES

SPREADS = st.lists(VALUES, min_size=1, max_size=5).map(spread_of)
BARS = st.lists(st.builds(Bar, label=NAMES, kind=st.sampled_from(["gateway", "other"]), spread=SPREADS), min_size=1)
SVG = "{http://www.w3.org/2000/svg}"
VOID_TAGS = {"meta", "br"}


@given(st.text(min_size=1).filter(str.isprintable), BARS)
def test_bars_are_as_long_as_their_medians_and_stay_inside(title: str, bars: list[Bar]) -> None:
    root = ElementTree.fromstring(bar_chart(title, bars))
    longest = max(bar.spread.highest for bar in bars) or 1.0
    drawn = root.findall(f"{SVG}rect")
    assert len(drawn) == len(bars)
    for rect, bar in zip(drawn, bars, strict=True):
        assert float(rect.get("width", "")) == pytest.approx(AXIS_WIDTH * bar.spread.median / longest, abs=0.01)
        assert float(rect.get("x", "")) + float(rect.get("width", "")) <= WIDTH
    for path, bar in zip(root.findall(f"{SVG}path"), bars, strict=True):
        low, high = map(float, re.match(r"M([\d.]+) [\d.]+H([\d.]+)", path.get("d", "")).groups())  # type: ignore[union-attr]
        assert low == pytest.approx(LABEL_WIDTH + AXIS_WIDTH * bar.spread.lowest / longest, abs=0.01)
        assert high == pytest.approx(LABEL_WIDTH + AXIS_WIDTH * bar.spread.highest / longest, abs=0.01)
    assert root.findtext(f"{SVG}title") == title


@pytest.mark.parametrize("bars", [[], [Bar("a", "other", Spread(1.0, -0.1, 2.0))]])
def test_what_has_no_length_is_no_chart(bars: list[Bar]) -> None:
    with pytest.raises(ValueError, match="bars"):
        bar_chart("title", bars)


class Balanced(HTMLParser):
    """Every element that begins ends, in order; what is fetched is noted."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []
        self.fetched: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        self.fetched += [f"{tag} {name}" for name, _ in attrs if name in ("src", "href", "srcset", "data", "action")]
        if tag not in VOID_TAGS:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


@given(RECORDS)
def test_a_page_is_whole_and_fetches_nothing(record: Record) -> None:
    written = page(record)
    parsed = Balanced()
    parsed.feed(written)
    assert parsed.open == []
    assert not {"script", "link", "img", "iframe", "b"} & set(parsed.seen)
    assert parsed.fetched == []
    assert "url(" not in written
    assert "@import" not in written
    assert set(re.findall(r"https?://[^\s\"'<]+", written)) <= {"http://www.w3.org/2000/svg"}
    assert "prefers-color-scheme: dark" in written
    for sentence in (*record.warnings, *([f"VOID: {record.void}"] if record.void else [])):
        assert sentence in parsed.text


@given(RECORDS)
def test_a_terminal_shows_names_as_they_are_and_says_what_is_void(record: Record) -> None:
    console = Console(file=io.StringIO(), width=400)
    print_record(record, console)
    printed = console.file.getvalue()  # type: ignore[attr-defined]
    for one in record.measurements:
        if one.figures:
            assert one.contender in printed
    assert ("VOID: " in printed) is (record.void is not None)


@given(MEASUREMENTS)
def test_tables_have_a_cell_for_each_heading_and_a_row_for_each_load(measurements: list[Measurement]) -> None:
    for table in (figure_table(measurements), comparison_table(measurements)):
        assert {len(row) for row in table.rows} <= {len(table.headings)}
    loads = {(one.workload, one.contender, one.generator.value) for one in measurements if one.figures}
    assert sorted(row[:3] for row in figure_table(measurements).rows) == sorted(loads)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (1234.5, "1,234"),
        (-12.34, "-12.3"),
        (12.34, "12.3"),
        (1.234, "1.23"),
        (0.1, "0.10"),
        (0.0123, "0.012"),
    ],
)
def test_numbers_are_as_long_as_they_are_sure(value: float, text: str) -> None:
    assert short(value) == text


def test_a_spread_of_one_value_is_that_value() -> None:
    assert shown(Spread(2.0, 2.0, 2.0)) == "2.00"
    assert shown(Spread(2.0, 1.0, 30.0)) == "2.00 [1.00, 30.0]"
