"""axe finds nothing wrong, in light and dark, with whatever the page shows."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.dialects.front_page.conftest import Showing, Shown
from tests.support.axe import axe_script, violations
from tests.support.instant_models import RERANKER

pytestmark = pytest.mark.network

TEXTS = [f"This is text number {number}, which is a little longer than others." for number in range(14)]


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
            "{ const one = document.querySelector('#status'); one.textContent = 'x'; one.style.color = '#ccc' }"
        )
        assert {one["rule"] for one in violations(shown.tab, axe)} == {"select-name", "color-contrast"}
