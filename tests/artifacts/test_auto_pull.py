"""A known model that is asked for and not there: brought once, in the background, with an answer to every request."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np
import psutil
import pytest

from gateway.app import create_app, pull_order
from gateway.artifacts.auto_pull import AutoPull, Job, _download_bytes, _sentence
from gateway.artifacts.completeness import is_complete
from gateway.artifacts.measuring import load_tokenizer
from gateway.artifacts.pull_order import PullOrder, Report
from gateway.cards.registry import Registry
from gateway.cards.schema import Card
from gateway.errors import EngineUnavailable
from gateway.settings import Settings
from gateway.triton.embedded.background import BackgroundTriton
from gateway.triton.embedded.ports import Ports, pick_free
from gateway.triton.embedded.supervisor import EmbeddedTriton
from tests.support.live_server import live_server
from tests.support.scripted_engine import ScriptedEngine
from tests.support.twin_world import TwinWorld, installed, twin_world

V3 = "jina-embeddings-v3"
DATA = "onnx/model.onnx_data"
LIMIT_SECONDS = 60.0


@pytest.fixture
def world(tmp_path: Path) -> Iterator[TwinWorld]:
    with twin_world(tmp_path, V3) as world:
        yield world


@pytest.fixture
def engine() -> ScriptedEngine:
    return ScriptedEngine(states={V3: "UNAVAILABLE"})


def order(world: TwinWorld) -> Callable[[Card], PullOrder]:
    return lambda card: PullOrder(
        card=card.name, models=str(world.models), staging=str(world.staging), endpoint=world.hub.url, token="no"
    )


def bringing(world: TwinWorld, engine: ScriptedEngine) -> AutoPull:
    return AutoPull(engine, order(world), allowed={V3})


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(LIMIT_SECONDS):
        while not condition():  # noqa: ASYNC110 - there is no event: the state is read as callers read it
            await asyncio.sleep(0.02)


def answer(auto_pull: AutoPull, card: Card) -> EngineUnavailable:
    given = auto_pull.on_missing(card)
    assert given is not None
    return given


@contextmanager
def held(world: TwinWorld, path: str) -> Iterator[threading.Event]:
    """While the block runs, the hub stops in the middle of this file; the event is set when it has come there."""
    reached, go_on = threading.Event(), threading.Event()

    def pause(asked: str, sent: int) -> None:
        if asked == path:
            reached.set()
            go_on.wait(LIMIT_SECONDS)

    world.hub.pause = pause  # type: ignore[method-assign]
    try:
        yield reached
    finally:
        go_on.set()


def children() -> list[psutil.Process]:
    here = psutil.Process(os.getpid()).children(recursive=True)
    return [process for process in here if "gateway.artifacts.pull_process" in " ".join(process.cmdline())]


async def test_it_is_downloaded_once_loaded_and_every_request_is_told_how_far_it_is(
    world: TwinWorld, engine: ScriptedEngine
) -> None:
    card, auto_pull = world.card(V3), bringing(world, engine)
    with held(world, DATA) as reached:
        first = answer(auto_pull, card)
        assert (first.code, first.retry_after_seconds) == ("model_downloading", 2)
        assert f"The model {V3} is being downloaded, which has just begun. Please" in first.message
        await until(reached.is_set)
        await until(lambda: "of 1/model.onnx_data" in answer(auto_pull, card).message)
        assert " MB of 1/model.onnx_data. Please try again later." in answer(auto_pull, card).message
        assert len(children()) == 1
        assert engine.control == []
    await until(lambda: engine.states[V3] == "READY")
    assert engine.control == [("load", V3)]
    assert answer(auto_pull, card).code in ("model_loading", "model_loaded")
    assert is_complete(card)
    assert len(world.hub.downloads("model.onnx_data")) == 1
    assert children() == []
    await auto_pull.stop()


async def test_what_may_not_be_brought_is_left_alone(world: TwinWorld, engine: ScriptedEngine) -> None:
    auto_pull = AutoPull(engine, order(world), allowed={"another"})
    assert auto_pull.on_missing(world.card(V3)) is None
    await auto_pull.stop()
    assert (world.hub.requests, engine.control) == ([], [])


@pytest.mark.parametrize("state", ["UNAVAILABLE", "LOADING", "READY"])
async def test_what_is_there_is_only_loaded(world: TwinWorld, engine: ScriptedEngine, state: str) -> None:
    card = world.card(V3)
    world.pull(card)
    world.hub.requests.clear()
    engine.states[V3] = state
    auto_pull = bringing(world, engine)
    answer(auto_pull, card)
    await until(lambda: answer(auto_pull, card).code == "model_loaded")
    assert engine.control == ([("load", V3)] if state == "UNAVAILABLE" else []), "Triton is not told what it knows"
    assert world.hub.requests == []
    await auto_pull.stop()


async def test_a_failure_is_told_and_tried_again_after_a_pause(
    world: TwinWorld, engine: ScriptedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    card, auto_pull = world.card(V3), bringing(world, engine)
    world.hub.token = "word"
    answer(auto_pull, card)
    await until(lambda: answer(auto_pull, card).code == "model_not_installed")
    failed = answer(auto_pull, card)
    assert failed.retry_after_seconds == 60
    assert "could not be brought" in failed.message
    assert "gated" in failed.message
    assert "HF_TOKEN" in failed.message
    asked = len(world.hub.requests)
    answer(auto_pull, card)
    assert (len(world.hub.requests), children()) == (asked, []), "not every request starts it again"
    world.hub.token = None
    monkeypatch.setattr("gateway.artifacts.auto_pull.FAILURE_PAUSE_SECONDS", 0.0)
    await until(lambda: answer(auto_pull, card).code == "model_loaded")
    await auto_pull.stop()


async def test_a_triton_that_refuses_is_told(world: TwinWorld, engine: ScriptedEngine) -> None:
    world.pull(world.card(V3))
    engine.control_refused = True
    auto_pull = bringing(world, engine)
    answer(auto_pull, world.card(V3))
    await until(lambda: answer(auto_pull, world.card(V3)).code == "model_not_installed")
    assert "refuses model control" in answer(auto_pull, world.card(V3)).message
    await auto_pull.stop()


async def test_a_model_that_triton_lost_later_is_loaded_again(
    world: TwinWorld, engine: ScriptedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    card, auto_pull = world.card(V3), bringing(world, engine)
    world.pull(card)
    answer(auto_pull, card)
    await until(lambda: engine.states[V3] == "READY")
    engine.restart_without_models()
    monkeypatch.setattr("gateway.artifacts.auto_pull.LOADED_GRACE_SECONDS", 0.0)
    answer(auto_pull, card)
    await until(lambda: engine.states[V3] == "READY")
    assert engine.control == [("load", V3)] * 2
    await auto_pull.stop()


async def test_stopping_ends_the_process_and_the_next_one_goes_on(world: TwinWorld, engine: ScriptedEngine) -> None:
    card, auto_pull = world.card(V3), bringing(world, engine)
    with held(world, DATA) as reached:
        answer(auto_pull, card)
        await until(reached.is_set)
        assert len(children()) == 1
        await auto_pull.stop()
        assert children() == []
    assert not is_complete(card)
    auto_pull = bringing(world, engine)
    answer(auto_pull, card)
    await until(lambda: engine.states[V3] == "READY")
    assert len(world.hub.downloads("tokenizer.json")) == 1, "what had arrived was not fetched again"
    await auto_pull.stop()


def test_the_process_ends_with_whoever_ordered_it(world: TwinWorld) -> None:
    with held(world, DATA) as reached:
        command = [sys.executable, "-m", "gateway.artifacts.pull_process"]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            assert process.stdin is not None
            process.stdin.write(order(world)(world.card(V3)).line())
            process.stdin.flush()
            assert reached.wait(LIMIT_SECONDS)
            process.stdin.close()
            assert process.wait(LIMIT_SECONDS) == 1
    assert not is_complete(world.card(V3))


def test_orders_and_reports_come_back_as_they_were_sent() -> None:
    wanted = PullOrder(card="ä", models="/m", staging="/s\n", variant="fp16", token="t")
    assert PullOrder.from_line(wanted.line()) == wanted
    told = Report(label="1/model.onnx", done_bytes=3, total_bytes=None, error='it is "broken"\n')
    assert Report.from_line(told.line()) == told
    assert told.line().count(b"\n") == 1


def job(name: str, **report: object) -> Job:
    registry = Registry.from_repository(Path(__file__).parents[2] / "model_repository")
    (card,) = (card for card in registry.cards if card.name == name)
    return Job(card, _download_bytes(card, None), report=Report(**report))  # type: ignore[arg-type]


def test_the_first_answer_says_how_much_there_is_and_names_the_model_asked_for() -> None:
    assert re.match(
        r"The model all-MiniLM-L6-v2 is being downloaded: 9\d MB in all\. Please", _sentence(job("all-MiniLM-L6-v2"))
    )
    nano = _sentence(job("jina-embeddings-v5-text-nano-retrieval", label="1/model.onnx", done_bytes=2_000_000))
    assert nano.startswith("The model jina-embeddings-v5-text-nano (retrieval) is being downloaded: 2 MB of 1/model")


def test_what_is_done_with_the_files_is_told() -> None:
    told = _sentence(job(V3, step="measuring the known text"))
    assert told == f"The model {V3} is being installed: measuring the known text. Please try again later."


def test_of_weights_in_several_files_the_share_of_all_is_told() -> None:
    far = {"label": "1/model-00002-of-00002.safetensors", "done_bytes": 3_000_000_000, "total_bytes": 7_500_000_000}
    told = _sentence(job("jina-embeddings-v4", **far, is_overall=True))
    assert told == "The model jina-embeddings-v4 is being downloaded: 40 % of 7500 MB in all. Please try again later."


async def test_a_model_of_the_python_backend_is_brought_like_any_other(tmp_path: Path) -> None:
    """Its index, the files that this names, and nothing is run; how far it is counts over all of them."""
    merged, last = "jina-embeddings-v4-vllm-code", "model-00002-of-00002.safetensors"
    engine = ScriptedEngine(states={merged: "UNAVAILABLE"})
    with twin_world(tmp_path, merged) as world:
        card, auto_pull = world.card(merged), AutoPull(engine, order(world), allowed={merged})
        with held(world, last) as reached:
            answer(auto_pull, card)
            await until(reached.is_set)
            await until(lambda: " MB in all. Please" in answer(auto_pull, card).message)
            assert not is_complete(card)
        await until(lambda: engine.states[merged] == "READY")
        assert is_complete(card)
        await auto_pull.stop()


def test_an_amount_that_nobody_knows_is_not_told() -> None:
    assert _download_bytes(job(V3).card, "fp19") is None
    assert _download_bytes(job(V3).card, "no variant") is None


def test_the_order_holds_what_the_settings_say(world: TwinWorld) -> None:
    settings = Settings(
        _env_file=None,  # type: ignore[call-arg]
        model_repository=world.models,
        run_folder=Path("run"),
        variant="fp16",
        hf_token="word",
        hf_endpoint="https://hub.example.com",
    )
    given = pull_order(settings, world.card(V3))
    assert (given.card, given.variant, given.token) == (V3, "fp16", "word")
    assert (given.endpoint, given.models) == ("https://hub.example.com", str(world.models))
    assert Path(given.staging) == Path.cwd() / "run" / "downloads"


def test_a_gateway_without_any_model_brings_the_one_that_is_asked_for(
    world: TwinWorld, tritonserver: None, tmp_path: Path
) -> None:
    """Through HTTP and a real Triton, to the oracle's vector."""
    triton = EmbeddedTriton(repository=world.models, run_folder=tmp_path / "triton", ports=Ports(*pick_free(3)))
    with BackgroundTriton(triton) as background:
        settings = Settings(
            _env_file=None,  # type: ignore[call-arg]
            triton_url=background.start([]).endpoints.grpc,
            model_repository=world.models,
            run_folder=tmp_path / "run",
            hf_endpoint=world.hub.url,
            hf_token="no",
            auto_pull=True,
        )
        body = {"model": V3, "input": "the quick brown fox", "task": "text-matching"}
        with live_server(settings, create_app(settings)) as server, httpx.Client(base_url=server.url) as client:
            unknown = client.post("/v1/embeddings", json={**body, "model": "somebody/else"})
            assert unknown.status_code == 404
            assert world.hub.requests == [], "a name without a card is never asked for anywhere"
            answers = [client.post("/v1/embeddings", json=body)]
            assert answers[0].status_code == 503
            assert int(answers[0].headers["retry-after"]) >= 2
            assert "is being downloaded" in answers[0].json()["error"]["message"]
            while answers[-1].status_code == 503 and len(answers) < 600:
                threading.Event().wait(0.1)
                answers.append(client.post("/v1/embeddings", json=body))
            assert answers[-1].status_code == 200, answers[-1].text
            assert len(world.hub.downloads("model.onnx_data")) == 1
    [tokenized] = load_tokenizer(world.card(V3)).encode([body["input"]])
    expected = world.twin(world.card(V3)).vector(tokenized.ids, task=4)
    assert np.abs(np.array(answers[-1].json()["data"][0]["embedding"]) - expected).max() < 1e-5
    assert installed(world.card(V3)).variant == "fp32"
