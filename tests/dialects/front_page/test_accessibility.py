"""axe finds nothing wrong, in light and dark, with whatever the page shows."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from tests.dialects.front_page.conftest import Showing, Shown
from tests.support.axe import axe_script, violations
from tests.support.instant_models import RERANKER

pytestmark = pytest.mark.network

TEXTS = [f"This is text number {number}, which is a little longer than others." for number in range(9)]


@pytest.fixture(scope="session")
def axe() -> str:
    return axe_script()


def nothing_yet(shown: Shown) -> None:
    shown.tab.wait("!document.querySelector('#model').disabled")


def comparison(shown: Shown) -> None:
    shown.embed(*TEXTS)
    assert not shown.error


def python_code(shown: Shown) -> None:
    comparison(shown)
    shown.tab.click("#request-python")


def fixed_colours(shown: Shown) -> None:
    comparison(shown)
    shown.tab.click("#fixed-colours")


def chunks(shown: Shown) -> None:
    shown.tab.click("#view-chunks")
    shown.tab.fill("#query", "What?")
    comparison(shown)


def ranking(shown: Shown) -> None:
    shown.tab.fill("#model", RERANKER)
    shown.tab.fill("#query", "What?")
    comparison(shown)


def failure(shown: Shown) -> None:
    shown.tab.click("#key-details summary")
    shown.services.embedder.error = RuntimeError("a defect")
    shown.embed(*TEXTS)
    assert shown.error


def warning(shown: Shown) -> None:
    shown.services.embedder.warnings = ("Not trained for this size.",)
    comparison(shown)


STATES = [nothing_yet, comparison, python_code, fixed_colours, chunks, ranking, failure, warning]


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("state", STATES)
def test_axe_finds_nothing(showing: Showing, axe: str, state: Callable[[Shown], None], dark: bool) -> None:
    with showing(tab={"dark": dark, "still": True}) as shown:
        # The policy forbids what axe does to look at a page; that it is kept is told elsewhere.
        shown.tab.ask("Page.setBypassCSP", enabled=True)
        shown.tab.open(shown.url + "/")
        shown.tab.wait("!document.querySelector('#model').disabled")
        state(shown)
        assert violations(shown.tab, axe) == []


def test_axe_would_find_something(showing: Showing, axe: str) -> None:
    with showing() as shown:
        shown.tab.ask("Page.setBypassCSP", enabled=True)
        shown.tab.open(shown.url + "/")
        shown.tab.wait("!document.querySelector('#model').disabled")
        shown.tab.evaluate("document.querySelector('label[for=model]').remove()")
        shown.tab.evaluate(
            "{ const one = document.querySelector('#status'); one.textContent = 'pale'; one.style.color = '#ccc' }"
        )
        assert {one["rule"] for one in violations(shown.tab, axe)} >= {"select-name", "color-contrast"}


def luminance(colour: str) -> float:
    """Relative luminance of `rgb(r, g, b)`, by WCAG 2."""
    shares = [int(found) / 255 for found in re.findall(r"\d+", colour)[:3]]
    linear = [share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4 for share in shares]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize(("words", "ground"), [(".map .name", ".map .ground"), (".point text", ".point circle")])
def test_words_of_the_map_stand_out(showing: Showing, words: str, ground: str, dark: bool) -> None:
    """Which axe cannot tell."""
    with showing(tab={"dark": dark}) as shown:
        comparison(shown)
        fills = [
            shown.tab.evaluate(f"getComputedStyle(document.querySelector('{one}')).fill") for one in (words, ground)
        ]
        low, high = sorted(map(luminance, fills))
        assert (high + 0.05) / (low + 0.05) >= 4.5
