"""An API key's own model and task stand in where a request leaves them open, and nowhere else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.edge import Edge, edge
from tests.support.instant_models import IMAGE_MODEL, RERANKER

KEYS = f"""
plain
images model={IMAGE_MODEL} task=query
ranks model={RERANKER}
gone model=not-here
"""


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Edge]:
    file = tmp_path / "keys"
    file.write_text(KEYS)
    with edge(api_keys_file=file) as made:
        yield made


def post(running: Edge, key: str, path: str, **fields: Any) -> Any:
    return running.client.post(path, json=fields, headers={"authorization": f"Bearer {key}"})


def test_a_keys_model_answers_requests_that_name_none(running: Edge) -> None:
    assert post(running, "plain", "/v1/embeddings", input="a").json()["model"] == "tiny"
    assert post(running, "images", "/v1/embeddings", input="a").json()["model"] == IMAGE_MODEL
    assert post(running, "images", "/v1/embeddings", input="a", model="tiny").json()["model"] == "tiny"
    assert post(running, "images", "/v1/classify", input="a", labels=["b"]).status_code == 200
    assert running.services.classifier.seen[0].model == IMAGE_MODEL


def test_a_keys_task_reaches_the_service_beside_the_requests_own(running: Edge) -> None:
    post(running, "images", "/v1/embeddings", input="a", task="document")
    post(running, "plain", "/v1/embeddings", input="a")
    assert [(one.task, one.default_task) for one in running.services.embedder.seen] == [
        ("document", "query"),
        (None, None),
    ]


def test_a_model_of_another_kind_is_passed_over(running: Edge) -> None:
    assert post(running, "ranks", "/v1/embeddings", input="a").json()["model"] == "tiny"
    assert post(running, "ranks", "/v1/rerank", query="a", documents=["b"]).json()["model"] == RERANKER
    assert running.services.reranker.seen[0].model == RERANKER
    post(running, "images", "/v1/rerank", query="a", documents=["b"])
    assert running.services.reranker.seen[1].model is None


def test_a_model_that_is_not_served_is_missed_by_who_needs_it(running: Edge) -> None:
    assert post(running, "gone", "/v1/embeddings", input="a").status_code == 404
    assert post(running, "gone", "/v1/rerank", query="a", documents=["b"]).status_code == 200


def test_a_keys_model_is_the_one_that_is_asked_about(running: Edge) -> None:
    for key, model in (("plain", "tiny"), ("images", IMAGE_MODEL), ("ranks", RERANKER)):
        info = running.client.get("/info", headers={"authorization": f"Bearer {key}"})
        assert info.json()["served_model_name"] == model
        named = running.client.get("/info", params={"model": "tiny"}, headers={"authorization": f"Bearer {key}"})
        assert named.json()["served_model_name"] == "tiny"
    assert running.client.get("/info", headers={"authorization": "Bearer gone"}).status_code == 404
    assert post(running, "plain", "/tokenize", inputs="a").status_code == 200
    assert post(running, "images", "/detokenize", tokens=[101]).status_code == 200
    for path, fields in (("/tokenize", {"inputs": "a"}), ("/decode", {"ids": [101]})):
        assert post(running, "gone", path, **fields).status_code == 404
