"""The backend in bfloat16 inside the real server, and the whole gateway before it: vectors close to the exact ones, and
each its own text's alone whoever computes beside it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import numpy as np
import pytest

from gateway.app import create_app
from gateway.artifacts.inference import GraphRun, padded
from gateway.artifacts.onnx_inspection import graph_path
from gateway.cards.loading import load_card
from gateway.settings import Settings
from gateway.text.tokenizer import TextTokenizer
from gateway.triton.embedded.background import BackgroundTriton
from gateway.triton.embedded.ports import Ports, pick_free
from gateway.triton.embedded.supervisor import EmbeddedTriton
from gateway.types import FAST_BLOCK_TOKENS, FAST_MIN_COSINE
from tests.conftest import BUNDLED_MODEL, REPOSITORY, VOCABULARIES, missing_bundled_model, missing_fast, need
from tests.support.live_server import live_server

SENTENCE = "the river bends east of Kassel, and 3.14 people (or so) cross it by a narrow bridge every morning"
TEXTS = [" ".join((SENTENCE.split() * 12)[start : start + 1 + 7 * start % 190]) for start in range(48)]


@pytest.fixture(scope="module")
def fast_gateway(tritonserver: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    need(missing_bundled_model())
    need(missing_fast())
    triton = EmbeddedTriton(
        repository=REPOSITORY,
        run_folder=tmp_path_factory.mktemp("fast"),
        ports=Ports(*pick_free(3)),
        fast_models=[BUNDLED_MODEL],
    )
    with BackgroundTriton(triton) as background:
        report = background.start([BUNDLED_MODEL])
        assert "openvino" in (report.stub_environment or "")
        settings = Settings(
            _env_file=None,  # type: ignore[call-arg]
            triton_url=report.endpoints.grpc,
            model_repository=REPOSITORY,
            vocabulary_folder=VOCABULARIES,
        )
        with (
            live_server(settings, create_app(settings, fast_models=[BUNDLED_MODEL])) as server,
            httpx.Client(base_url=server.url, timeout=120, trust_env=False) as client,
        ):
            server.wait_until_ready()
            yield client


def embedded(client: httpx.Client, texts: list[str]) -> np.ndarray:
    answer = client.post("/v1/embeddings", json={"model": BUNDLED_MODEL, "input": texts}).raise_for_status()
    return np.array([one["embedding"] for one in answer.json()["data"]])


@pytest.fixture(scope="module")
def alone(fast_gateway: httpx.Client) -> np.ndarray:
    return np.concatenate([embedded(fast_gateway, [text]) for text in TEXTS])


def test_vectors_are_those_of_float32_up_to_the_promised_cosine(alone: np.ndarray) -> None:
    card = load_card(REPOSITORY / BUNDLED_MODEL)
    tokenizer = TextTokenizer.from_file(card.path_of("1/tokenizer.json"), max_tokens=256, max_text_bytes=10_000)
    run = GraphRun(card, graph_path(card))
    exact = np.concatenate([run.results(padded([one.ids], pad_id=0)) for one in tokenizer.encode(tuple(TEXTS))])
    cosines = (exact * alone).sum(axis=1)
    assert cosines.min() >= FAST_MIN_COSINE
    assert np.abs(exact - alone).max() > 1e-5, "this is float32"


def test_a_vector_depends_on_its_own_text_alone(fast_gateway: httpx.Client, alone: np.ndarray) -> None:
    """Requests of one to many texts side by side, so that calls mix them in ever other ways."""
    generator = np.random.default_rng(3)
    picks = [generator.permutation(len(TEXTS))[: 1 + size * 5] for size in range(9) for _ in range(2)]
    with ThreadPoolExecutor(6) as threads:
        answers = list(threads.map(lambda pick: embedded(fast_gateway, [TEXTS[one] for one in pick]), picks))
    for pick, answer in zip(picks, answers, strict=True):
        assert np.abs(answer - alone[pick]).max() <= 1e-5


def test_the_list_of_models_and_the_metrics_say_what_serves(fast_gateway: httpx.Client) -> None:
    (model,) = fast_gateway.get("/v1/models").json()["data"]
    assert (model["precision"], model["batch_invariant"]) == ("fast", True)
    assert (
        f'gateway_model_precision{{model="{BUNDLED_MODEL}",precision="fast"}} 1.0' in fast_gateway.get("/metrics").text
    )


def test_what_the_backend_pads_is_counted(fast_gateway: httpx.Client) -> None:
    def counted(kind: str) -> float:
        [tokens] = re.findall(rf"^gateway_{kind}_tokens_total{{.*}} (\S+)$", fast_gateway.get("/metrics").text, re.M)
        return float(tokens)

    before = {kind: counted(kind) for kind in ("real", "padded")}
    embedded(fast_gateway, ["a narrow bridge"])
    grown = {kind: counted(kind) - before[kind] for kind in before}
    assert 3 <= grown["real"] < FAST_BLOCK_TOKENS == grown["padded"]


def test_token_vectors_have_the_texts_own_length(fast_gateway: httpx.Client) -> None:
    """Late chunking needs them; a mean over a padding's vectors as well would be another one."""
    body = {"model": BUNDLED_MODEL, "input": ["a narrow bridge", "every morning"], "late_chunking": True}
    data = fast_gateway.post("/v1/embeddings", json=body).raise_for_status().json()["data"]
    chunked = np.array([one["embedding"] for one in data])
    assert (chunked * embedded(fast_gateway, ["a narrow bridge", "every morning"])).sum(axis=1).min() > 0.5


def test_exact_is_told_as_exact(gateway_url: str) -> None:
    data = httpx.get(f"{gateway_url}/v1/models", trust_env=False).json()["data"]
    assert {one["precision"] for one in data} == {"exact"}
