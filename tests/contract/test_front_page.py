"""The page at `/` in front of a real model: what it shows is true, and the requests that it offers do what it did."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np
import pytest

from tests.conftest import BUNDLED_MODEL, need
from tests.support.chromium import Browser, Tab, chromium, missing_chromium

pytestmark = pytest.mark.triton

TEXTS = ['It\'s a "quoted" harbour.', "Boats lie at the quay; $HOME is far.", "A recipe for bread\\butter."]


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    need(missing_chromium())
    with chromium(tmp_path_factory.mktemp("chromium")) as running:
        yield running


@pytest.fixture(scope="module")
def tab(browser: Browser, gateway_url: str) -> Iterator[Tab]:
    with showing(browser, gateway_url) as opened:
        yield opened


@contextmanager
def showing(browser: Browser, url: str) -> Iterator[Tab]:
    with browser.tab() as opened:
        opened.open(url + "/")
        opened.wait("!document.querySelector('#model').disabled")
        yield opened


def vectors_of(url: str, texts: list[str]) -> np.ndarray:
    answer = httpx.post(f"{url}/v1/embeddings", json={"model": BUNDLED_MODEL, "input": texts}, timeout=30)
    return np.array([row["embedding"] for row in answer.json()["data"]])


def finished(tab: Tab) -> None:
    tab.wait("!document.querySelector('#shown').hasAttribute('aria-busy')")
    assert tab.text("#error") == ""
    assert tab.said() == []


def code(tab: Tab, language: str) -> str:
    tab.click(f"#request-{language}")
    return tab.text("#request-panel")


def run(*command: str) -> str:
    environment = {**os.environ, "NO_PROXY": "*"}
    return subprocess.run(
        command, capture_output=True, text=True, check=True, timeout=60, env=environment, stdin=subprocess.DEVNULL
    ).stdout


@pytest.fixture(scope="module")
def compared(tab: Tab) -> Tab:
    tab.fill("#texts", "\n".join(TEXTS))
    tab.click("#run")
    finished(tab)
    return tab


def test_the_heat_map_holds_the_models_own_similarities(compared: Tab, gateway_url: str) -> None:
    cells = compared.evaluate("[...document.querySelectorAll('.heat td[class]')].map((cell) => cell.textContent)")
    shown = np.array([float(cell.replace("−", "-")) for cell in cells]).reshape(3, 3)
    vectors = vectors_of(gateway_url, TEXTS)
    np.testing.assert_allclose(shown, vectors @ vectors.T, atol=0.0051)


def test_stages_of_a_real_model_are_told(compared: Tab) -> None:
    stages = compared.evaluate("[...document.querySelectorAll('#timing-body tbody th')].map((one) => one.textContent)")
    assert "compute the vectors" in stages


def test_curl_gives_the_same(compared: Tab, gateway_url: str) -> None:
    answer = json.loads(run("bash", "-euo", "pipefail", "-c", code(compared, "curl") + " --silent --show-error"))
    np.testing.assert_allclose([row["embedding"] for row in answer["data"]], vectors_of(gateway_url, TEXTS), atol=1e-5)


def test_python_gives_the_same(compared: Tab, gateway_url: str, tmp_path: Path) -> None:
    program = tmp_path / "copied.py"
    program.write_text(code(compared, "python") + "\nimport json\nprint(json.dumps(vectors))\n")
    np.testing.assert_allclose(json.loads(run(sys.executable, str(program))), vectors_of(gateway_url, TEXTS), atol=1e-5)


def test_javascript_gives_the_same(compared: Tab, gateway_url: str) -> None:
    """By the browser itself, which runs it as Node does."""
    found = compared.evaluate(f"(async () => {{ {code(compared, 'javascript')}\n return data; }})()")
    np.testing.assert_allclose([row["embedding"] for row in found], vectors_of(gateway_url, TEXTS), atol=1e-5)


@pytest.mark.parametrize("number", [0, 1, 2])
def test_each_example_works_and_shows_what_it_promises(tab: Tab, number: int) -> None:
    tab.evaluate(f"document.querySelectorAll('#examples button')[{number}].click()")
    finished(tab)
    tab.wait("!document.querySelector('#shown').hidden")
    if number == 0:
        assert neighbours_of_three_subjects(tab) >= 7
    if number == 2:
        moved = tab.evaluate("[...document.querySelectorAll('.chunks td:nth-child(4)')].map((one) => one.textContent)")
        # Every part after the first names the city by "its" or "the city" alone.
        assert all(change.startswith("+") for change in moved[1:])


def neighbours_of_three_subjects(tab: Tab) -> int:
    """How many of the nine sentences, three a subject, have one of their own subject nearest."""
    rows = tab.evaluate(
        "[...document.querySelectorAll('.heat tbody tr')].map((row) => "
        "[...row.querySelectorAll('td')].map((cell) => cell.textContent))"
    )
    table = np.array([[float(cell.replace("−", "-")) for cell in row] for row in rows]) - 2 * np.eye(9)
    return int(sum(nearest // 3 == place // 3 for place, nearest in enumerate(table.argmax(axis=1))))


def asked(tab: Tab) -> list[str]:
    """The panels that are shown after the button was pressed."""
    tab.click("#run")
    finished(tab)
    return list(tab.evaluate("[...document.querySelectorAll('.panel:not([hidden])')].map((one) => one.id)"))


def test_every_model_answers_every_view_that_it_has(browser: Browser, twin_gateway_url: str) -> None:
    """Rerankers, models with tasks, families and models whose vectors are no means, as they are shipped but tiny."""
    with showing(browser, twin_gateway_url) as tab:
        tab.fill("#texts", "\n".join(TEXTS))
        models = tab.evaluate("[...document.querySelectorAll('#model option')].map((one) => one.value)")
        rankings = chunkings = tasks = 0
        for model in models:
            tab.fill("#model", model)
            if tab.text("#run") == "Rank":
                tab.fill("#query", "Where is the harbour?")
                assert asked(tab)[0] == "panel-ranking"
                rankings += 1
                continue
            tab.click("#view-compare")
            for task in tab.evaluate("[...document.querySelectorAll('#task option')].map((one) => one.value)"):
                tab.fill("#task", task)
                assert asked(tab)[:2] == ["panel-heat", "panel-map"]
                tasks += task != ""
            if not tab.evaluate("document.querySelector('#view-chunks').disabled"):
                tab.click("#view-chunks")
                tab.fill("#query", "Where is the harbour?")
                assert asked(tab)[0] == "panel-chunks"
                chunkings += 1
        assert len(models) >= 5
        assert min(rankings, chunkings) >= 1
        assert tasks >= 5
