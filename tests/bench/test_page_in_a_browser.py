"""The page as a real browser lays it out: nothing runs over an edge, nothing covers anything, dark is dark.

Chromium prints the page after a script of the test has measured it and written down what it found.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from gateway.bench.machine import Before, During
from gateway.bench.measurement import Generator, Measurement
from gateway.bench.page import page
from gateway.bench.record import ParityResult, Participant, Record
from gateway.bench.workloads import USUAL, full_plan
from tests.conftest import need

PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
SCREENS = {"wide": 1200, "phone": 380}

MEASURE = """
const boxes = found => [...found].map(one => one.getBoundingClientRect());
const apart = (one, other) => one.right <= other.left + 1 || other.right <= one.left + 1
  || one.bottom <= other.top + 1 || other.bottom <= one.top + 1;
const charts = [...document.querySelectorAll('svg')];
document.body.dataset.found = JSON.stringify({
  width: innerWidth,
  wide: document.documentElement.scrollWidth,
  charts: charts.length,
  bars: boxes(document.querySelectorAll('svg rect')).filter(box => box.width > 0 && box.height > 0).length,
  cut: charts.flatMap(chart => { const own = chart.getBoundingClientRect();
    return boxes(chart.querySelectorAll('text, path'))
      .filter(box => box.left < own.left - 1 || box.right > own.right + 1);
  }).length,
  covered: charts.filter(chart => { const texts = boxes(chart.querySelectorAll('text'));
    return texts.some((one, place) => texts.slice(place + 1).some(other => !apart(one, other))); }).length,
  tables: [...document.querySelectorAll('table')].map(table => table.rows.length),
  missed: [...document.querySelectorAll('td.alarm')].map(cell => cell.textContent),
  paper: getComputedStyle(document.body).backgroundColor,
  ink: getComputedStyle(document.body).color,
  label: charts.length ? getComputedStyle(charts[0].querySelector('text')).fill : '',
});
"""


def a_record() -> Record:
    """Of all kinds of contenders, with names as long as they get and figures of very different size."""
    names = ("ceiling", "grpc", "gateway", "gateway-fast", "infinity")
    measurements = [
        Measurement(workload, name, generator, repeat, figures)
        for repeat in range(5)
        for workload in ("single", "many", "bulk", "poisson-95")
        for place, name in enumerate(names)
        for generator in ((Generator.IN_PROCESS,) if name == "ceiling" else (Generator.PYTHON, Generator.WRK))
        for figures in [
            {
                "texts_per_second": 1234.5 * (place + 1) + 40 * repeat,
                "texts_per_cpu_second": 600.0 - 100 * place,
                "latency_p50_ms": 0.5 * (place + 1),
                "latency_p99_ms": 40.0 * (place + 1) + repeat,
                "server_cpu_ms_per_text": 1.25,
                "padding_ratio": 1.02,
                "errors": 0.0,
            }
        ]
    ]
    return Record(
        started_at="2026-11-21T19:00:00+00:00",
        seconds=1200.0,
        quick=False,
        model="all-MiniLM-L6-v2",
        plan=full_plan(USUAL, repeats=5, seconds=4.0, limit_seconds=3600.0),
        tolerance=1e-5,
        hardware={"cpu": "A processor with a name that is rather long @ 3.00GHz", "cores": "2"},
        versions={f"a-package-{number}": "1.2.3" for number in range(8)},
        settings={},
        before=Before((0.1, 0.2, 0.3), 0.01),
        during=During(0.01, 0.0),
        participants=[Participant(name, "http://127.0.0.1:8000/v1/embeddings", "m") for name in names],
        parity=[ParityResult(name, 4e-8, 1.0, 40, True) for name in names[1:]],
        measurements=measurements,
        warnings=["A sentence that is long enough to need more than one line on a narrow screen, and then some."],
    )


def looked_at(folder: Path, *, width: int, dark: bool = False) -> dict[str, Any]:
    """What the browser found of the page on a screen of so many pixels."""
    program = next((found for name in PROGRAMS if (found := shutil.which(name))), None)
    need(None if program else "a browser: apt install chromium")
    file = folder / "page.html"
    file.write_text(page(a_record()).replace("</body>", f"<script>{MEASURE}</script></body>"), encoding="utf-8")
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", f"--user-data-dir={folder}/me"]
    options += ["--hide-scrollbars", f"--window-size={width},900", "--no-first-run", "--disable-background-networking"]
    options += [f"--blink-settings=preferredColorScheme={0 if dark else 1}", "--dump-dom", file.as_uri()]
    result = subprocess.run([str(program), *options], capture_output=True, text=True, timeout=100, check=True)
    [written] = re.findall(r'data-found="([^"]*)"', result.stdout)
    return dict(json.loads(unescape(written)))


@pytest.fixture(scope="module", params=SCREENS.values(), ids=SCREENS)
def found(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return looked_at(tmp_path_factory.mktemp("browser"), width=request.param)


def test_nothing_runs_over_the_edge_of_a_screen_or_chart(found: dict[str, Any]) -> None:
    assert found["wide"] <= found["width"]
    assert found["cut"] == 0


def test_no_words_of_a_chart_cover_others(found: dict[str, Any]) -> None:
    assert found["covered"] == 0


def test_every_chart_has_its_bars_and_every_table_its_rows(found: dict[str, Any]) -> None:
    # Four workloads' rates, and both latencies of single and of the open loop; nine bars each.
    assert found["charts"] == 4 + 2 * 2
    assert found["bars"] == 9 * found["charts"]
    assert len(found["tables"]) == 4
    assert min(found["tables"]) > 1
    assert set(found["missed"]) == {"NO"}


def brightness(colour: str) -> float:
    """0 for black, 1 for white."""
    return sum(map(int, re.findall(r"\d+", colour)[:3])) / (3 * 255)


@pytest.mark.parametrize("dark", [False, True])
def test_words_stand_out_from_the_paper_in_light_and_dark(tmp_path: Path, dark: bool) -> None:
    found = looked_at(tmp_path, width=1200, dark=dark)
    paper, ink, label = (brightness(found[name]) for name in ("paper", "ink", "label"))
    assert (paper < 0.3) is dark
    assert abs(paper - ink) > 0.6
    assert abs(paper - label) > 0.6
