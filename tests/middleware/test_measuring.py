"""What an answer says about the time that it took."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from gateway.types import EmbedRequest, EmbedResult, StageSeconds
from tests.support.edge import Edge, edge


def stages_of(running: Edge, monkeypatch: pytest.MonkeyPatch, stages: StageSeconds) -> dict[str, float]:
    embed = running.services.embedder.embed

    async def timed(request: EmbedRequest) -> EmbedResult:
        return replace(await embed(request), stages=stages)

    monkeypatch.setattr(running.services.embedder, "embed", timed)
    header = running.embed().headers["server-timing"]
    entries = [re.fullmatch(r"([a-z]+);dur=(\d+\.\d\d)", entry) for entry in header.split(", ")]
    return {entry[1]: float(entry[2]) for entry in entries if entry}


def test_each_stage_in_milliseconds(monkeypatch: pytest.MonkeyPatch) -> None:
    with edge() as running:
        found = stages_of(running, monkeypatch, StageSeconds(tokenize=0.0015, queue=0.25, infer=3.0))
    assert found.pop("total") >= 0
    assert found == {"tokenize": 1.5, "queue": 250, "infer": 3000}


def test_images_are_named_where_there_were_any(monkeypatch: pytest.MonkeyPatch) -> None:
    with edge() as running:
        found = stages_of(running, monkeypatch, StageSeconds(images=0.01))
    assert found["images"] == 10


def test_answers_without_a_model_have_no_stages() -> None:
    with edge() as running:
        for answer in (running.client.get("/v1/models"), running.embed(dimensions=0)):
            assert "server-timing" not in answer.headers
            assert int(answer.headers["openai-processing-ms"]) >= 0
