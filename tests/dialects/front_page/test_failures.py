"""The page when something goes wrong: keys, refusals, lost and late answers, answers that are none."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.errors import EngineUnavailable, InferenceFailed, Overloaded
from gateway.types import EmbedRequest
from tests.dialects.front_page.conftest import KEY, TEXTS, Showing


def test_a_key_is_asked_for_used_and_kept_nowhere(showing: Showing) -> None:
    with showing(api_keys=[KEY], ready=False) as shown:
        shown.tab.wait("document.querySelector('#key-details').open")
        assert "asks for an API key" in shown.status
        shown.tab.fill("#key", "wrong")
        shown.tab.wait("!document.querySelector('#error').hidden")
        assert shown.error.startswith("The gateway does not know this API key.")
        assert shown.tab.evaluate("document.activeElement.id") == "key"
        shown.tab.fill("#key", "no key, but a sentence: ü")
        shown.tab.wait("document.querySelector('#error').textContent.startsWith('This cannot be an API key')")
        shown.tab.fill("#key", KEY)
        shown.tab.wait("!document.querySelector('#model').disabled")
        shown.embed(*TEXTS)
        assert shown.error == ""
        assert len(shown.table("heat-body")) == 3
        for language in ("curl", "python", "javascript"):
            shown.tab.click(f"#request-{language}")
            text = shown.tab.text("#request-panel")
            assert KEY not in text
            assert "API_KEY" in text
        kept = "JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie, location.href, history.state])"
        assert KEY not in shown.tab.evaluate(kept)
        assert KEY not in shown.tab.evaluate("document.documentElement.outerHTML")


def test_asking_without_a_key_says_what_to_do(showing: Showing) -> None:
    with showing(api_keys=[KEY], ready=False) as shown:
        shown.embed(*TEXTS)
        assert shown.error.startswith("This gateway asks for an API key.")
        assert shown.tab.evaluate("document.activeElement.id") == "key"


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (Overloaded("Too much is waiting.", retry_after_seconds=7), "Too much is waiting. Try again in 7 seconds."),
        (EngineUnavailable("Triton is away."), "Triton is away. Try again in a second."),
        (InferenceFailed("The model failed."), "The model failed."),
        (RuntimeError("a defect"), "The gateway failed in a way it did not foresee."),
    ],
)
def test_the_gateways_errors_are_told_in_its_words(showing: Showing, error: Exception, words: str) -> None:
    with showing() as shown:
        shown.services.embedder.error = error
        shown.embed(*TEXTS)
        assert shown.error.startswith(words)
        assert shown.tab.evaluate("document.querySelector('#error').closest('[role=alert]') !== null") is True
        assert shown.tab.evaluate("document.querySelector('#shown').hidden") is True
        shown.services.embedder.error = None
        shown.ask()
        assert shown.error == ""
        assert len(shown.table("heat-body")) == 3


def test_an_error_in_the_middle_leaves_what_was_shown_and_says_so(
    showing: Showing, monkeypatch: pytest.MonkeyPatch
) -> None:
    with showing() as shown:
        shown.embed("before", "that")
        take = shown.services.embedder.take

        async def fails_late(request: EmbedRequest) -> None:
            await take(request)
            if request.late_chunking:
                raise Overloaded("Too much is waiting.")

        monkeypatch.setattr(shown.services.embedder, "take", fails_late)
        shown.tab.click("#view-chunks")
        shown.tab.fill("#query", "What?")
        shown.embed(*TEXTS)
        assert shown.error == "Too much is waiting. Try again in a second. What is shown below is from before."
        assert shown.tab.evaluate("document.querySelector('#panel-chunks').hidden") is True
        assert [row[0] for row in shown.table("heat-body")] == ["1 before", "2 that"]


def test_stop_gives_the_request_up(showing: Showing) -> None:
    with showing() as shown:
        shown.services.embedder.hold = True
        shown.tab.fill("#texts", "\n".join(TEXTS))
        shown.tab.click("#run")
        shown.tab.wait("!document.querySelector('#stop').hidden")
        shown.until(lambda: shown.services.embedder.seen)
        shown.tab.click("#stop")
        shown.tab.wait("!document.querySelector('#shown').hasAttribute('aria-busy')")
        assert shown.status == "Stopped."
        assert shown.error == ""
        shown.until(shown.services.embedder.cancelled.is_set)


def test_of_two_questions_the_later_one_is_answered(showing: Showing) -> None:
    with showing() as shown:
        shown.services.embedder.hold = True
        shown.tab.fill("#texts", "first\nquestion")
        shown.tab.click("#run")
        shown.until(lambda: shown.services.embedder.seen)
        shown.services.embedder.hold = False
        shown.tab.fill("#texts", "second\none")
        shown.tab.evaluate("document.querySelector('#form').requestSubmit()")
        shown.tab.wait("!document.querySelector('#shown').hasAttribute('aria-busy')")
        assert [row[0] for row in shown.table("heat-body")] == ["1 second", "2 one"]
        assert shown.error == ""
        assert shown.status.startswith("2 texts")
        shown.until(shown.services.embedder.cancelled.is_set)


def test_an_answer_that_comes_after_all_is_not_shown(showing: Showing) -> None:
    with showing() as shown:
        shown.tab.evaluate(
            """{ let asked = 0; const answer = (one) => Response.json({data: [{embedding: [1, 0]}, {embedding: one}]});
            window.fetch = async () => { asked += 1; if (asked > 1) return answer([0, 1]);
              await new Promise((resolve) => { window.release = resolve; }); return answer([1, 0]); }; }"""
        )
        shown.tab.fill("#texts", "first\nquestion")
        shown.tab.click("#run")
        shown.tab.wait("window.release")
        shown.embed("second", "one")
        shown.tab.evaluate("window.release(), new Promise((resolve) => { setTimeout(resolve, 100); })")
        assert [row[0] for row in shown.table("heat-body")] == ["1 second", "2 one"]
        assert shown.status.startswith("2 texts")


def test_a_gateway_that_is_gone(showing: Showing) -> None:
    with showing() as shown:
        shown.tab.ask(
            "Network.emulateNetworkConditions", offline=True, latency=0, downloadThroughput=-1, uploadThroughput=-1
        )
        shown.embed(*TEXTS)
        assert shown.error.startswith("The gateway did not answer.")


ODD_ANSWERS: dict[str, tuple[str, str]] = {
    "no JSON": ("new Response('<html>')", "The answer is no JSON."),
    "nothing": ("new Response(null, {status: 204})", "The answer is no JSON."),
    "a proxy's error": ("new Response('<h1>Bad</h1>', {status: 502})", "Something on the way answered with status 502"),
    "no data": ("Response.json({})", "The answer is not what was asked for."),
    "too few": ("Response.json({data: [{embedding: [1]}]})", "The answer is not what was asked for."),
    "no numbers": ("Response.json({data: [{embedding: ['1']}, {embedding: [null]}]})", "The answer is not what"),
    "two sizes": ("Response.json({data: [{embedding: [1]}, {embedding: [1, 2]}]})", "The answer is not what"),
    "empty": ("Response.json({data: [{embedding: []}, {embedding: []}]})", "The answer is not what was asked for."),
    "null": ("new Response('null')", "The answer is not what was asked for."),
    "cut off": (
        "new Response(new ReadableStream({start(to) { to.enqueue(new Uint8Array(9)); to.error(new TypeError()) }}))",
        "The answer broke off before its end.",
    ),
    "without end": (
        "new Response(new ReadableStream({pull(to) { to.enqueue(new Uint8Array(1 << 22).fill(32)) }}))",
        "The answer is larger than 64 MB",
    ),
    "a long message": (
        "Response.json({error: {message: 'very '.repeat(10000)}}, {status: 400})",
        "very very",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", ODD_ANSWERS)
def test_answers_that_are_none_are_told(showing: Showing, name: str) -> None:
    answer, words = ODD_ANSWERS[name]
    with showing() as shown:
        shown.tab.evaluate(f"window.fetch = async () => {answer}; void 0")
        shown.embed("a", "b")
        assert shown.error.startswith(words)
        assert len(shown.error) < 700
        assert shown.tab.said() == []


def test_models_that_make_no_sense_are_left_out(showing: Showing) -> None:
    with showing(ready=False) as shown:
        odd: dict[str, Any] = {
            "data": [None, 3, {"id": 5, "kind": "embedding"}, {"id": "ok", "kind": "embedding", "tasks": 7}]
        }
        models = shown.tab.call("models.js", "modelsIn", odd)
        assert [(one["id"], one["tasks"], one["dimensions"]) for one in models] == [("ok", [], None)]
        assert shown.tab.call("models.js", "modelsIn", None) == []
