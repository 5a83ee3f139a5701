"""Added models, served: by the real Triton behind the whole gateway, against NumPy over their weights."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest

from gateway.app import create_app
from gateway.artifacts.adding.adding import State, add_model
from gateway.artifacts.adding.plan import AddOptions
from gateway.artifacts.hub_access import HubAccess
from gateway.artifacts.sources import Fetching
from gateway.cards.canary_task import canary_text
from gateway.cards.installation import read_installation
from gateway.cards.registry import Registry
from gateway.settings import Settings
from gateway.triton.embedded.background import BackgroundTriton
from gateway.triton.embedded.ports import Ports, pick_free
from gateway.triton.embedded.supervisor import EmbeddedTriton
from tests.support.live_server import LiveServer, live_server
from tests.support.local_hub import local_hub
from tests.support.twins import generic
from tests.support.twins.publishing import publish
from tests.support.twins.variations import Published, faithful, others

MODELS = {one.name: one for one in (*faithful(), *others())}
# One process each, so not all of them: every way to a vector, and every kind of input.
SERVED = [
    *(one.name for one in faithful()),
    "pooled-only",
    "max-pooled",
    "weights-alone",
    "weights-cls",
    "dense-inside",
    "external-data",
    "positions",
]
# Short enough for the smallest window here, 16 tokens, and of different lengths.
TEXTS = ["The quick brown fox jumps", "a", "世界 🙂 model", "search for a new question"]


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model repository to which every model was added from a hub on loopback."""
    folder = tmp_path_factory.mktemp("models")
    with local_hub() as hub:
        fetching = Fetching(tmp_path_factory.mktemp("staging"), hub=HubAccess(hub.url))
        for one in MODELS.values():
            publish(hub, one.twin)
            assert add_model(one.repository, AddOptions(), models=folder, fetching=fetching).state is State.ADDED
    return folder


@pytest.mark.parametrize("name", MODELS)
def test_the_canary_that_was_measured_is_the_oracles(repository: Path, name: str) -> None:
    model = MODELS[name]
    (card,) = Registry.from_repository(repository).cards_of(name)
    installation = read_installation(card)
    expected = model.vector(canary_text(card))[: len(installation.canary)]
    np.testing.assert_allclose(installation.canary, expected, rtol=0, atol=model.tolerance)
    assert installation.batch_invariant
    assert installation.verified_at is not None
    assert (installation.repository, installation.revision) == (model.repository, "f" * 39 + "1")
    assert {file.source for file in installation.files.values()} == {"hub", "built"}


@pytest.fixture(scope="module")
def server(repository: Path, tritonserver: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    triton = EmbeddedTriton(
        repository=repository, run_folder=tmp_path_factory.mktemp("triton"), ports=Ports(*pick_free(3))
    )
    with BackgroundTriton(triton) as background:
        address = background.start(SERVED).endpoints.grpc
        settings = Settings(
            _env_file=None,  # type: ignore[call-arg]
            triton_url=address,
            model_repository=repository,
            models=tuple(SERVED),
            vocabulary_folder=repository,
        )
        with live_server(settings, create_app(settings)) as live:
            live.wait_until_ready(120)
            yield live


def embed(server: LiveServer, model: str, texts: list[str], **fields: object) -> np.ndarray:
    body = {"model": model, "input": texts, **fields}
    answer = httpx.post(f"{server.url}/v1/embeddings", json=body, timeout=60, trust_env=False)
    assert answer.status_code == 200, answer.text
    return np.array([entry["embedding"] for entry in answer.json()["data"]])


def expected(model: Published, texts: list[str], prefix: str | None = None) -> np.ndarray:
    prefix = model.prefix if prefix is None else prefix
    return np.stack([model.vector(prefix + text) for text in texts])


@pytest.mark.triton
@pytest.mark.parametrize("name", SERVED)
def test_vectors_are_the_oracles_alone_and_together(server: LiveServer, name: str) -> None:
    wanted = expected(MODELS[name], TEXTS)
    np.testing.assert_allclose(embed(server, name, TEXTS), wanted, rtol=0, atol=1e-5)
    for text, vector in zip(TEXTS, wanted, strict=True):
        (alone,) = embed(server, name, [text])
        np.testing.assert_allclose(alone, vector, rtol=0, atol=1e-5)


@pytest.mark.triton
@pytest.mark.parametrize(
    ("fields", "prefix"),
    [
        ({}, generic.PROMPTS["document"]),
        ({"task": "query"}, generic.PROMPTS["query"]),
        ({"task": "document"}, generic.PROMPTS["document"]),
        ({"task": "retrieval.query"}, generic.PROMPTS["query"]),
        ({"input_type": "passage"}, generic.PROMPTS["document"]),
    ],
)
def test_prompts_go_before_the_text_by_the_callers_words(
    server: LiveServer, fields: dict[str, object], prefix: str
) -> None:
    name = generic.prompted().repository.partition("/")[2]
    texts = ["small fox", "la question"]
    given = embed(server, name, texts, **fields)
    np.testing.assert_allclose(given, expected(MODELS[name], texts, prefix), rtol=0, atol=1e-5)
    assert not np.allclose(given, expected(MODELS[name], texts, ""), atol=1e-3), "the prefix made no difference"


@pytest.mark.triton
def test_late_chunking_is_offered_where_token_vectors_are_averaged_and_nowhere_else(server: LiveServer) -> None:
    for name, status in (("mean-pooled", 200), ("pooled-only", 400), ("cls-pooled", 400), ("dense-inside", 400)):
        body = {"model": name, "input": ["the fox", "the dog"], "late_chunking": True}
        answer = httpx.post(f"{server.url}/v1/embeddings", json=body, timeout=60, trust_env=False)
        assert answer.status_code == status, (name, answer.text)
