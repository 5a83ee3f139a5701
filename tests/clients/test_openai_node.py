"""Official clients in JavaScript, as published, against the running gateway: above all that no vector is one of zeros,
which is what OpenAI's client makes of a server that answers in numbers where it asked for base64."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import tiktoken

from gateway import errors
from gateway.app import create_app
from gateway.settings import Settings
from tests.conftest import BUNDLED_MODEL, VOCABULARIES, need
from tests.contract.conftest import ranks_of
from tests.support.client_environment import ClientEnvironmentError
from tests.support.edge import settings
from tests.support.instant_services import InstantServices
from tests.support.live_server import live_server
from tests.support.node_environment import Node, NodeEnvironmentError, client_node
from tests.support.telling import past_capture

pytestmark = [pytest.mark.network, pytest.mark.triton, pytest.mark.timeout(1800)]

HERE = Path(__file__).parent
TEXTS = ["A harbour in the morning.", "Ein Hafen am Morgen.", ""]
TWIN = "jina-embeddings-v3"

Answers = list[dict[str, Any]]


@pytest.fixture(scope="module")
def node(pytestconfig: pytest.Config) -> Node:
    try:
        return client_node(past_capture(pytestconfig))
    except (ClientEnvironmentError, NodeEnvironmentError) as error:
        need(str(error))
        raise


def printed(node: Node, program: str, given: Mapping[str, Any]) -> Any:
    result = node.run((HERE / program).read_text(), given=json.dumps(given))
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def ask(node: Node, url: str, *calls: Mapping[str, Any], key: str = "unused", retries: int = 0) -> Answers:
    given = {"url": url, "key": key, "retries": retries, "calls": calls}
    answers: Answers = printed(node, "openai_node.mjs", given)
    return answers


def plain(url: str, model: str, texts: Sequence[str], **fields: Any) -> np.ndarray:
    body = {"model": model, "input": texts, **fields}
    answer = httpx.post(f"{url}/v1/embeddings", json=body, timeout=60).raise_for_status().json()
    return np.array([row["embedding"] for row in answer["data"]], np.float32)


def rows(vectors: Any) -> np.ndarray:
    return np.array(vectors, np.float32)


def test_the_defaults_give_the_models_vectors_bit_by_bit(node: Node, gateway_url: str) -> None:
    fields = {"model": BUNDLED_MODEL, "input": TEXTS}
    default, floats, coded = ask(
        node, gateway_url, fields, {**fields, "encoding_format": "float"}, {**fields, "encoding_format": "base64"}
    )
    expected = plain(gateway_url, BUNDLED_MODEL, TEXTS)
    assert expected.shape == (3, 384)
    assert np.allclose(np.linalg.norm(expected, axis=1), 1, atol=1e-5)
    assert np.array_equal(rows(default["vectors"]), expected)
    assert np.array_equal(rows(floats["vectors"]), expected)
    assert np.array_equal([np.frombuffer(base64.b64decode(one), "<f4") for one in coded["vectors"]], expected)
    assert default["model"] == BUNDLED_MODEL
    assert default["usage"]["prompt_tokens"] == default["usage"]["total_tokens"] > 3


def test_dimensions_and_fields_of_the_gateways_own(node: Node, twin_gateway_url: str) -> None:
    asked = {"task": "retrieval.query", "dimensions": 16}
    [answer] = ask(node, twin_gateway_url, {"model": TWIN, "input": TEXTS, **asked})
    assert np.array_equal(rows(answer["vectors"]), plain(twin_gateway_url, TWIN, TEXTS, **asked))
    assert not np.allclose(
        rows(answer["vectors"]), plain(twin_gateway_url, TWIN, TEXTS, task="separation", dimensions=16)
    )


def test_many_inputs_keep_their_order(node: Node, gateway_url: str) -> None:
    texts = [f"text {number} " + "word " * (number % 23) for number in range(2048)]
    [answer] = ask(node, gateway_url, {"model": BUNDLED_MODEL, "input": texts})
    vectors = rows(answer["vectors"])
    assert vectors.shape == (2048, 384)
    for number in (0, 1, 22, 1000, 2047):
        assert np.abs(vectors[number] - plain(gateway_url, BUNDLED_MODEL, [texts[number]])[0]).max() <= 1e-6


def test_token_ids_are_read_as_openais(node: Node, gateway_url: str) -> None:
    file = VOCABULARIES / "cl100k_base.tiktoken"
    need(None if file.is_file() else "cl100k_base is not installed; gateway models pull cl100k_base")
    ranks = ranks_of(file)
    encoding = tiktoken.Encoding("ranks", pat_str=r"\s?\S+|\s+", mergeable_ranks=ranks, special_tokens={})
    ids = [encoding.encode(text) for text in TEXTS[:2]]
    many, one = ask(
        node, gateway_url, {"model": BUNDLED_MODEL, "input": ids}, {"model": BUNDLED_MODEL, "input": ids[0]}
    )
    expected = plain(gateway_url, BUNDLED_MODEL, TEXTS[:2])
    assert np.abs(rows(many["vectors"]) - expected).max() <= 1e-6
    assert np.abs(rows(one["vectors"]) - expected[:1]).max() <= 1e-6


def test_models(node: Node, gateway_url: str) -> None:
    [answer] = ask(node, gateway_url, {"models": BUNDLED_MODEL})
    assert BUNDLED_MODEL in answer["ids"]
    assert answer["found"] == BUNDLED_MODEL


def test_wrong_requests_are_the_clients_own_errors(node: Node, gateway_url: str) -> None:
    long, unknown, large, none = ask(
        node,
        gateway_url,
        {"model": BUNDLED_MODEL, "input": "word " * 300},
        {"model": "text-embedding-3-huge", "input": "a"},
        {"model": BUNDLED_MODEL, "input": "a", "dimensions": 385},
        {"model": BUNDLED_MODEL, "input": []},
    )
    assert "Please reduce your prompt; or completion length." in long["message"]
    assert (unknown["error"], unknown["status"], unknown["code"]) == ("NotFoundError", 404, "model_not_found")
    for refused, param in ((long, "input"), (large, "dimensions"), (none, "input")):
        assert (refused["error"], refused["status"], refused["param"]) == ("BadRequestError", 400, param)
        assert refused["code"]
        assert refused["requestID"]


@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        (errors.Overloaded("m"), ("RateLimitError", 429)),
        (errors.EngineUnavailable("m"), ("InternalServerError", 503)),
    ],
)
def test_errors_of_load_arrive_as_the_clients_own(node: Node, raised: Exception, expected: tuple[str, int]) -> None:
    services = InstantServices()
    services.embedder.error = raised
    with served(settings(), services) as server:
        [answer] = ask(node, server.url, {"model": "tiny", "input": "a"})
    assert (answer["error"], answer["status"]) == expected


@pytest.mark.parametrize(
    "raised", [errors.Overloaded("m", retry_after_seconds=1), errors.EngineUnavailable("m", retry_after_seconds=1)]
)
def test_the_client_goes_again_and_gets_its_answer(node: Node, raised: Exception) -> None:
    services = InstantServices()
    services.embedder.error, services.embedder.errors_left = raised, 1
    with served(settings(), services) as server:
        [answer] = ask(node, server.url, {"model": "tiny", "input": "a"}, retries=2)
    assert answer["model"] == "tiny"
    assert len(services.embedder.seen) == 2


def test_a_wrong_key_is_an_authentication_error(node: Node) -> None:
    with served(settings(api_keys=("right",)), InstantServices()) as server:
        [wrong] = ask(node, server.url, {"model": "tiny", "input": "a"}, key="wrong")
        [right] = ask(node, server.url, {"model": "tiny", "input": "a"}, key="right")
    assert (wrong["error"], wrong["status"]) == ("AuthenticationError", 401)
    assert right["vectors"]


def served(chosen: Settings, services: InstantServices) -> Any:
    return live_server(chosen, create_app(chosen, start_services=services.start))


@pytest.mark.parametrize("model", [BUNDLED_MODEL, TWIN])
def test_every_client_in_javascript_gets_the_same_vectors(
    node: Node, gateway_url: str, twin_gateway_url: str, model: str
) -> None:
    """LangChain.js, as in n8n and Flowise; Vercel's AI SDK; Ollama's own."""
    url = twin_gateway_url if model == TWIN else gateway_url
    expected = plain(url, model, TEXTS)
    found = printed(node, "javascript_vectors.mjs", {"url": url, "model": model, "texts": TEXTS})
    assert set(found) == {"openai", "langchain", "langchain, one by one", "vercel", "ollama"}
    for client, vectors in found.items():
        assert np.abs(rows(vectors) - expected).max() <= 1e-6, client
    assert np.array_equal(rows(found["openai"]), rows(found["vercel"])), "base64 and floats"
