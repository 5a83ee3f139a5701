"""The page as people use it, in a real browser: by mouse and by keyboard, whatever they type."""

from __future__ import annotations

import re

import numpy as np
import pytest

from gateway.types import TextInput
from tests.dialects.front_page.conftest import KEY, TEXTS, Showing, Shown
from tests.support.instant_models import FAMILY, IMAGE_MODEL, RERANKER
from tests.support.instant_services import expected_score, expected_token_vectors, expected_vector

HOSTILE = (
    "<img src=x onerror=alert(1)>",
    "</textarea><script>alert(1)</script>",
    'it\'s "quoted" & <b>bold</b> ${x} `y`',
    "\u202eright to left",
    "x" * 5000,
)


def cosines(*texts: str) -> np.ndarray:
    vectors = np.stack([expected_vector(TextInput(text)) for text in texts]).astype(float)
    return vectors @ vectors.T


def numbers(rows: list[list[str]]) -> np.ndarray:
    return np.array([[float(cell.replace("−", "-")) for cell in row[1:]] for row in rows])


def choose(shown: Shown, model: str) -> None:
    shown.tab.fill("#model", model)


# Loading


@pytest.mark.parametrize("keys", [[], [KEY]])
def test_it_loads_without_a_complaint_and_asks_nobody_else(showing: Showing, keys: list[str]) -> None:
    with showing(api_keys=keys, ready=not keys) as shown:
        shown.tab.wait("document.querySelector('#version').textContent")
        assert shown.tab.said() == []
        requested = shown.tab.requested()
        assert len(requested) > 20
        assert [url for url in requested if not url.startswith(shown.url + "/")] == []


def test_it_offers_what_is_served(showing: Showing) -> None:
    with showing() as shown:
        offered = shown.tab.evaluate("[...document.querySelectorAll('#model option')].map((one) => one.value)")
        assert offered == ["tiny", FAMILY, IMAGE_MODEL, RERANKER]
        assert "384 dimensions" in shown.tab.text("#model-facts")
        assert shown.tab.evaluate("document.querySelector('#link-docs').hidden") is False


def test_without_documentation_there_is_no_link_to_it(showing: Showing) -> None:
    with showing(api_docs=False) as shown:
        assert shown.tab.evaluate("document.querySelector('#link-docs').hidden") is True


# What is shown


def test_one_click_shows_something(showing: Showing) -> None:
    with showing() as shown:
        shown.tab.click("#examples button")
        shown.tab.wait("!document.querySelector('#shown').hidden")
        texts = [text for text in shown.tab.evaluate("document.querySelector('#texts').value").split("\n") if text]
        found = numbers(shown.table("heat-body"))
        assert len(texts) == len(found) >= 5
        np.testing.assert_allclose(found, cosines(*texts), atol=0.0051)
        assert shown.tab.evaluate("document.querySelectorAll('#map-body .point').length") == len(texts)
        assert shown.tab.evaluate("document.querySelectorAll('#map-body li').length") == len(texts)
        assert shown.status.startswith(f"{len(texts)} texts, 384 dimensions, {len(texts)} tokens.")
        assert shown.tab.said() == []


def test_the_heat_map_is_a_table_whose_colours_are_numbers_too(showing: Showing) -> None:
    with showing() as shown:
        shown.embed(*TEXTS)
        table = "document.querySelector('#heat-body table')"
        assert shown.tab.evaluate(f"[...{table}.querySelectorAll('thead th')].map((one) => one.scope)") == ["col"] * 3
        assert shown.tab.evaluate(f"[...{table}.querySelectorAll('tbody th')].map((one) => one.scope)") == ["row"] * 3
        own = cosines(*TEXTS)
        off = sorted({round(float(own[row, column]), 9) for row in range(3) for column in range(row)})
        shades = shown.tab.evaluate(
            f"[...{table}.querySelectorAll('td[class]')].map((cell) => Number(/heat-(\\d+)/.exec(cell.className)[1]))"
        )
        assert shades[0] == shades[4] == shades[8] == 11
        assert shades[int(np.argmin(own))] == 0
        assert max(shade for place, shade in enumerate(shades) if place not in (0, 4, 8)) == 11
        assert len(off) == 3
        shown.tab.click("#fixed-colours")
        lightest = shown.tab.evaluate(f"{table}.querySelectorAll('td[class]')[{int(np.argmin(own))}].className")
        assert lightest == f"heat-{round(max(0, off[0]) * 11)}"


def test_the_closest_pair_comes_first(showing: Showing) -> None:
    with showing() as shown:
        shown.embed(*TEXTS)
        likeness = cosines(*TEXTS) - 2 * np.eye(3)
        one, other = sorted(np.unravel_index(np.argmax(likeness), likeness.shape))
        first = shown.tab.text("#heat-body .pairs li")
        assert TEXTS[one] in first
        assert TEXTS[other] in first
        assert f"Closest are {one + 1} and {other + 1}" in shown.status


def test_pointing_at_a_number_reads_its_two_texts(showing: Showing) -> None:
    with showing() as shown:
        shown.embed(*TEXTS)
        box = shown.tab.evaluate("document.querySelectorAll('.heat td[class]')[5].getBoundingClientRect().toJSON()")
        shown.tab.ask(
            "Input.dispatchMouseEvent", type="mouseMoved", x=box["x"] + box["width"] / 2, y=box["y"] + box["height"] / 2
        )
        shown.tab.wait("document.querySelector('.reading').textContent.includes('Another')")
        number = shown.tab.evaluate("document.querySelectorAll('.heat td[class]')[5].textContent")
        assert shown.tab.text(".reading") == f"{number} {TEXTS[1]} and {TEXTS[2]}"


def test_dimensions_and_task_are_asked_for(showing: Showing) -> None:
    with showing() as shown:
        choose(shown, FAMILY)
        tasks = shown.tab.evaluate("[...document.querySelectorAll('#task option')].map((one) => one.value)")
        assert tasks == ["", "retrieval.query", "retrieval.passage"]
        shown.tab.fill("#task", "retrieval.query")
        shown.tab.fill("#dimensions", "32")
        shown.embed(*TEXTS)
        [seen] = shown.services.embedder.seen
        assert (seen.model, seen.task, seen.dimensions) == (FAMILY, "retrieval.query", 32)
        assert "32 dimensions" in shown.status
        choose(shown, "tiny")
        assert shown.tab.evaluate("document.querySelector('#task-field').hidden") is True


def test_dimensions_that_cannot_be_are_not_sent(showing: Showing) -> None:
    with showing() as shown:
        for value in ("0", "385", "1.5"):
            shown.tab.fill("#dimensions", value)
            shown.embed(*TEXTS)
        assert shown.services.embedder.seen == []


def test_a_vector_for_each_token(showing: Showing) -> None:
    with showing() as shown:
        choose(shown, IMAGE_MODEL)
        shown.tab.click("#tokens")
        shown.embed(*TEXTS)
        tokens = [expected_token_vectors(TextInput(text)).astype(float) for text in TEXTS]
        best = [[(one @ other.T).max(axis=1).mean() for other in tokens] for one in tokens]
        np.testing.assert_allclose(
            numbers(shown.table("heat-body")), (np.array(best) + np.array(best).T) / 2, atol=0.0051
        )
        assert shown.status.startswith(f"3 texts, {sum(map(len, tokens))} vectors of 16 numbers")
        assert "httpx" in python_of(shown)


def python_of(shown: Shown) -> str:
    shown.tab.click("#request-python")
    return shown.tab.text("#request-panel")


def test_a_reranker_ranks_texts_for_a_question(showing: Showing) -> None:
    with showing() as shown:
        choose(shown, RERANKER)
        assert shown.tab.evaluate("document.querySelector('#views').hidden") is True
        assert shown.tab.text("#run") == "Rank"
        shown.embed(*TEXTS)
        assert shown.error == "Type a question first: the texts are measured against it."
        shown.tab.fill("#query", "What?")
        shown.ask()
        scores = {text: float(expected_score("What?", text)) for text in TEXTS}
        ordered = sorted(TEXTS, key=lambda text: -scores[text])
        assert [row[2] for row in shown.table("ranking-body")] == ordered
        assert [float(row[1]) for row in shown.table("ranking-body")] == pytest.approx(
            [scores[text] for text in ordered], abs=0.0006
        )
        assert shown.error == ""
        choose(shown, "tiny")
        shown.ask()
        assert shown.tab.evaluate("document.querySelector('#panel-ranking').hidden") is True
        assert shown.tab.evaluate("document.querySelector('#panel-heat').hidden") is False


def test_late_chunking_beside_parts_by_themselves(showing: Showing) -> None:
    with showing() as shown:
        shown.tab.click("#view-chunks")
        shown.tab.fill("#query", "What?")
        shown.embed(*TEXTS)
        seen = [
            (request.late_chunking, [text_of(item) for item in request.inputs])
            for request in shown.services.embedder.seen
        ]
        assert seen == [(False, ["What?"]), (False, list(TEXTS)), (True, list(TEXTS))]
        rows = shown.table("chunks-body")
        question = expected_vector(TextInput("What?")).astype(float)
        expected = [float(question @ expected_vector(TextInput(text))) for text in TEXTS]
        assert [row[0] for row in rows] == list(TEXTS)
        assert numbers(rows)[:, 0] == pytest.approx(expected, abs=0.0051)
        assert '"late_chunking": true' in shown.tab.text("#request-panel")


def text_of(item: object) -> str:
    assert isinstance(item, TextInput)
    return item.text


def test_a_model_that_cannot_chunk_late_says_so(showing: Showing) -> None:
    with showing() as shown:
        shown.tab.click("#view-chunks")
        choose(shown, FAMILY)
        assert shown.tab.evaluate("document.querySelector('#view-chunks').disabled") is True
        assert shown.tab.evaluate("document.querySelector('#view-compare').checked") is True
        assert "Late chunking needs" in shown.tab.text("#view-note")


def test_an_example_chooses_a_model_that_can_do_it(showing: Showing) -> None:
    with showing() as shown:
        choose(shown, FAMILY)
        shown.tab.evaluate("[...document.querySelectorAll('#examples button')].at(-1).click()")
        shown.tab.wait("!document.querySelector('#panel-ranking').hidden && !document.querySelector('#shown').hidden")
        assert shown.tab.evaluate("document.querySelector('#model').value") == RERANKER
        assert len(shown.services.reranker.seen) == 1


def test_a_warning_of_the_gateway_is_passed_on(showing: Showing) -> None:
    with showing() as shown:
        shown.services.embedder.warnings = ("Not trained for this size.",)
        shown.embed(*TEXTS)
        assert shown.tab.text("#warning") == "Not trained for this size."
        shown.services.embedder.warnings = ()
        shown.ask()
        assert shown.tab.evaluate("document.querySelector('#warning').hidden") is True


def test_times_name_the_gateways_stages(showing: Showing) -> None:
    with showing() as shown:
        shown.embed(*TEXTS)
        stages = [row[0] for row in shown.table("timing-body")]
        assert stages[:4] == [
            "cut texts into tokens", "wait for the model's turn", "compute the vectors", "read, check and write",
        ]  # fmt: skip
        assert all(re.fullmatch(r"\d+(\.\d)? ms", row[1]) for row in shown.table("timing-body"))


# Keyboard and screen readers


def test_all_of_it_by_keyboard(showing: Showing) -> None:
    with showing() as shown:
        focus = "document.activeElement"
        for _ in range(40):
            shown.tab.press("Tab")
            if shown.tab.evaluate(f"{focus}.id") == "texts":
                break
        shown.tab.type("One text.\nAnother one.")
        while shown.tab.evaluate(f"{focus}.id") != "run":
            shown.tab.press("Tab")
        shown.tab.press("Enter")
        shown.tab.wait(
            "!document.querySelector('#shown').hidden && !document.querySelector('#shown').hasAttribute('aria-busy')"
        )
        while shown.tab.evaluate(f"{focus}.getAttribute('role')") != "tab":
            shown.tab.press("Tab")
        for key, name in (
            ("ArrowRight", "python"),
            ("End", "javascript"),
            ("ArrowRight", "curl"),
            ("ArrowLeft", "javascript"),
        ):
            shown.tab.press(key)
            assert shown.tab.evaluate(f"{focus}.id") == f"request-{name}"
            assert shown.tab.evaluate(f"{focus}.getAttribute('aria-selected')") == "true"
        shown.tab.press("Tab")
        shown.tab.press("Enter")
        shown.tab.wait("document.querySelector('#status').textContent === 'Copied.'")
        assert shown.tab.evaluate("navigator.clipboard.readText()") == shown.tab.text("#request-panel")


def test_the_view_is_chosen_with_arrows(showing: Showing) -> None:
    with showing() as shown:
        shown.tab.evaluate("document.querySelector('#view-compare').focus()")
        shown.tab.press("ArrowRight")
        assert shown.tab.evaluate("document.querySelector('#view-chunks').checked") is True
        assert shown.tab.evaluate("document.querySelector('#query-field').hidden") is False


def test_where_a_page_may_not_copy_the_text_is_selected(showing: Showing) -> None:
    with showing() as shown:
        shown.embed(*TEXTS)
        shown.tab.evaluate("navigator.clipboard.writeText = () => Promise.reject(new Error('no'))")
        shown.tab.evaluate("[...document.querySelectorAll('#request-body button')].at(-1).click()")
        shown.tab.wait("document.querySelector('#status').textContent.includes('Ctrl+C')")
        assert shown.tab.evaluate("getSelection().toString()") == shown.tab.text("#request-panel")


@pytest.mark.parametrize("still", [False, True])
def test_whoever_wants_no_motion_gets_none(showing: Showing, still: bool) -> None:
    with showing(tab={"still": still}) as shown:
        moving = shown.tab.evaluate(
            "[...document.querySelectorAll('*')].some((one) => getComputedStyle(one).transitionDuration !== '0s')"
        )
        assert moving is not still


@pytest.mark.parametrize("width", [320, 380, 1280])
def test_nothing_runs_over_the_edge(showing: Showing, width: int) -> None:
    with showing(tab={"width": width}) as shown:
        shown.embed(*TEXTS, *HOSTILE, *(f"text {number}" for number in range(30)))
        assert shown.tab.evaluate("document.documentElement.scrollWidth") <= width


def test_on_a_small_screen_the_results_come_into_view(showing: Showing) -> None:
    with showing(tab={"width": 380, "height": 700}) as shown:
        assert (
            shown.tab.evaluate("document.querySelector('#results').getBoundingClientRect().top > innerHeight") is True
        )
        shown.embed(*TEXTS)
        assert shown.tab.evaluate("document.querySelector('#status').getBoundingClientRect().top < innerHeight") is True


# Hostile input


def test_texts_stay_texts(showing: Showing) -> None:
    with showing() as shown:
        shown.embed(*HOSTILE)
        shown.tab.fill("#query", HOSTILE[0])
        shown.tab.click("#view-chunks")
        shown.ask()
        choose(shown, RERANKER)
        shown.ask()
        for _ in ("curl", "python", "javascript"):
            assert (
                shown.tab.evaluate("document.querySelectorAll('#results img, #results script, #results b b').length")
                == 0
            )
        assert HOSTILE[0] in [row[2] for row in shown.table("ranking-body")]
        assert shown.tab.said() == []


def test_too_many_texts_are_refused_before_they_are_sent(showing: Showing) -> None:
    with showing() as shown:
        shown.embed(*(f"text {number}" for number in range(61)))
        assert shown.error.startswith("These are 61 texts, and this page shows up to 60.")
        shown.embed("alone")
        assert shown.error.startswith("One is not enough to compare.")
        shown.embed()
        assert shown.error.startswith("There is no text yet.")
        assert shown.services.embedder.seen == []
        shown.embed(*(f"text {number}" for number in range(60)))
        assert shown.error == ""
        assert len(shown.table("heat-body")) == 60


def test_texts_that_are_all_alike(showing: Showing) -> None:
    with showing() as shown:
        shown.embed("same", "same")
        assert shown.tab.said() == []
        assert shown.error == ""
        assert (numbers(shown.table("heat-body")) == 1).all()
