"""The composed edge: ids on every answer, keys, CORS, and nothing of a request's content in logs, metrics or errors."""

from __future__ import annotations

import asyncio
import dataclasses
import io
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from gateway.app import create_app, read_keys, service_options
from gateway.caching.stores import CacheOptions
from gateway.errors import ConfigurationError
from gateway.images.reading import ImageLimits
from gateway.middleware.auth import caller_name
from gateway.service.building import ServiceOptions
from gateway.types import Vocabulary
from tests.conftest import REPOSITORY
from tests.support.captured_log import captured_log
from tests.support.edge import Edge, check_error, edge, settings
from tests.support.instant_services import InstantServices

KEY = "key-7d2c91"
CANARY = "canary-44b0e5"


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """Everything that is logged, as JSON lines."""
    with captured_log() as stream:
        yield stream


REQUESTS: dict[str, dict[str, Any]] = {
    "200": {"method": "POST", "url": "/v1/embeddings", "json": {"input": "a"}},
    "400": {"method": "POST", "url": "/v1/embeddings", "json": {}},
    "404 path": {"method": "GET", "url": "/nope"},
    "404 model": {"method": "GET", "url": "/v1/models/none"},
    "405": {"method": "PUT", "url": "/v1/embeddings"},
    "413": {"method": "POST", "url": "/v1/embeddings", "content": b"x" * 2000},
    "415": {"method": "POST", "url": "/v1/embeddings", "content": b"x", "headers": {"content-encoding": "gzip"}},
    "front page": {"method": "GET", "url": "/"},
    "live": {"method": "GET", "url": "/live"},
    "ready": {"method": "HEAD", "url": "/ready"},
    "health": {"method": "GET", "url": "/health"},
    "metrics": {"method": "GET", "url": "/metrics"},
    "docs": {"method": "GET", "url": "/docs"},
    "asset": {"method": "GET", "url": "/docs-assets/swagger-ui.css"},
}


@pytest.mark.parametrize("request_", REQUESTS.values(), ids=REQUESTS.keys())
@pytest.mark.parametrize("keys", [(), (KEY,)], ids=["open", "locked"])
def test_every_answer_carries_one_request_id(request_: dict[str, Any], keys: tuple[str, ...]) -> None:
    with edge(max_body_bytes=1000, api_keys=keys) as running:
        made = running.client.request(**request_)
        assert re.fullmatch("[0-9a-f]{32}", made.headers["x-request-id"])
        headers = request_.get("headers", {}) | {"x-request-id": "mine-1"}
        kept = running.client.request(**request_ | {"headers": headers})
        assert kept.headers.get_list("x-request-id") == ["mine-1"]


def test_an_unforeseen_error_is_answered_in_the_envelope_and_logged_by_place_only(log: io.StringIO) -> None:
    with edge() as running:
        running.services.embedder.error = ValueError(CANARY)
        answer = running.embed(input=CANARY)
    check_error(answer, 500)
    assert CANARY not in answer.text
    assert '"exception":"ValueError"' in log.getvalue()
    assert "instant_services.py:" in log.getvalue()
    assert answer.headers["x-request-id"] in log.getvalue()


OPEN = ["/", "/live", "/ready", "/health"]
LOCKED = ["/v1/models", "/v1/models/tiny", "/metrics", "/docs", "/redoc", "/openapi.json", "/nope"]


@pytest.mark.parametrize("path", OPEN)
def test_open_paths(path: str) -> None:
    with edge(api_keys=(KEY,)) as running:
        assert running.client.get(path).status_code == 200


@pytest.mark.parametrize("path", LOCKED)
def test_locked_paths(path: str) -> None:
    with edge(api_keys=(KEY,)) as running:
        answer = running.client.get(path)
        error = check_error(answer, 401)
        assert (error["code"], error["type"]) == ("invalid_api_key", "invalid_request_error")
        assert answer.headers["www-authenticate"] == "Bearer"
        assert running.client.get(path, headers={"api-key": KEY}).status_code in (200, 404)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"authorization": ""}, 401),
        ({"authorization": "Bearer "}, 401),
        ({"authorization": "Bearer wrong"}, 401),
        ({"authorization": f"Bearer {KEY}"}, 200),
        ({"authorization": "Bearer second"}, 200),
        ({"authorization": "Bearer third"}, 200),
        ({"api-key": KEY}, 200),
        ({"x-api-key": KEY}, 200),
        ({"authorization": "Bearer ", "api-key": KEY}, 200),
    ],
)
def test_keys(headers: dict[str, str], status: int, tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text("# of the batch job\nthird\n\n")
    with edge(api_keys=(KEY, "second"), api_keys_file=file) as running:
        assert running.client.post("/v1/embeddings", json={"input": "a"}, headers=headers).status_code == status


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer ", "Bearer anything", "Basic eDp5"])
def test_without_keys_any_authorization_header_is_fine(header: str) -> None:
    with edge() as running:
        answer = running.client.post("/v1/embeddings", json={"input": "a"}, headers={"authorization": header})
        assert answer.status_code == 200


def test_a_keys_file_that_cannot_be_read_or_is_empty_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read"):
        create_app(settings(api_keys_file=tmp_path / "none"), start_services=InstantServices().start)
    empty = tmp_path / "empty"
    empty.write_text("# nobody\n")
    with pytest.raises(ConfigurationError, match="holds no key"):
        read_keys(settings(api_keys_file=empty))


def test_a_key_may_have_a_weight_in_the_keys_file(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text(f"third weight=3\nwith space weight=0.5\nweight=7\n{KEY}\n")
    given = settings(api_keys=(KEY, "second"), api_keys_file=file)
    assert {key.key: key.weight for key in read_keys(given)} == {
        KEY: 1.0,
        "second": 1.0,
        "third": 3.0,
        "with space": 0.5,
        "weight=7": 1.0,
    }
    assert service_options(given).caller_weights == {caller_name("third"): 3.0, caller_name("with space"): 0.5}
    with edge(api_keys_file=file) as running:
        for key, status in (("third", 200), ("third weight=3", 401), ("with space", 200)):
            answer = running.client.post("/v1/embeddings", json={"input": "a"}, headers={"api-key": key})
            assert answer.status_code == status


@pytest.mark.parametrize("weight", ["0", "-1", "nan", "inf", "many", "1e9", ""])
def test_a_weight_that_is_none_stops_the_start_and_tells_no_key(weight: str, tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text(f"{KEY} weight={weight}.\n" if not weight else f"{KEY} weight={weight}\n")
    with pytest.raises(ConfigurationError, match="weight") as caught:
        read_keys(settings(api_keys_file=file))
    assert KEY not in caught.value.message


ORIGIN = "https://app.example"
PREFLIGHT = {
    "origin": ORIGIN,
    "access-control-request-method": "POST",
    "access-control-request-headers": "authorization,content-type,x-stainless-lang,x-stainless-retry-count",
}


@pytest.mark.parametrize("origins", [(ORIGIN,), ("*",)])
def test_cors_lets_the_javascript_sdk_in(origins: tuple[str, ...]) -> None:
    with edge(cors_origins=origins, api_keys=(KEY,)) as running:
        preflight = running.client.options("/v1/embeddings", headers=PREFLIGHT)
        assert preflight.status_code == 200
        assert preflight.headers["access-control-allow-origin"] in (ORIGIN, "*")
        allowed = preflight.headers["access-control-allow-headers"].lower()
        assert all(name in allowed for name in ("authorization", "x-stainless-lang", "x-stainless-retry-count"))
        refused = running.client.post("/v1/embeddings", json={"input": "a"}, headers={"origin": ORIGIN})
        check_error(refused, 401)
        assert refused.headers["access-control-allow-origin"] in (ORIGIN, "*")
        assert "x-request-id" in refused.headers["access-control-expose-headers"]


def test_cors_keeps_other_origins_out_and_is_off_by_default() -> None:
    with edge(cors_origins=(ORIGIN,)) as running:
        other = running.client.options("/v1/embeddings", headers=PREFLIGHT | {"origin": "https://evil.example"})
        assert "access-control-allow-origin" not in other.headers
    with edge() as running:
        assert "access-control-allow-origin" not in running.client.options("/v1/embeddings", headers=PREFLIGHT).headers


def leaky_requests(running: Edge) -> Iterator[str]:
    """Every answer's text to requests with the canary in every place a caller can write to, through every failure."""
    key = {"authorization": f"Bearer {KEY}"}
    bodies: list[Any] = [
        {"input": CANARY},
        {"input": [CANARY, 1]},
        {"input": [[CANARY]]},
        {"input": {"text": CANARY}},
        {"input": [{CANARY: CANARY}]},
        {"input": "a", "dimensions": CANARY},
        {"input": "a", "encoding_format": CANARY},
        {"input": "a", "truncate": CANARY},
        {"input": "a", "token_vocabulary": CANARY},
        {"input": "a", "model": [CANARY]},
        {"input": "a", "model": CANARY},
        {CANARY: CANARY},
        [CANARY],
    ]
    failures = [None, ValueError(CANARY), KeyError(CANARY), UnicodeEncodeError("utf-8", CANARY, 0, 1, CANARY)]
    for failure in failures:
        running.services.embedder.error = failure
        for body in bodies:
            yield running.client.post("/v1/embeddings", json=body, headers=key).text
    for raw in (b'{"input": "%b' % CANARY.encode(), CANARY.encode(), b"\xff" + CANARY.encode()):
        yield running.client.post("/v1/embeddings", content=raw, headers=key).text
    yield running.client.post(f"/v1/{CANARY}?{CANARY}={CANARY}", content=CANARY.encode(), headers=key).text
    yield running.client.post("/v1/embeddings", content=CANARY, headers={"authorization": f"Bearer {CANARY}"}).text
    yield running.client.get("/v1/models", headers={"api-key": CANARY, "user-agent": CANARY, "cookie": CANARY}).text
    yield running.client.get("/metrics", headers=key).text


def test_nothing_of_a_request_is_logged_counted_or_quoted(log: io.StringIO) -> None:
    with edge(api_keys=(KEY,)) as running:
        answers = list(leaky_requests(running))
    written = log.getvalue()
    assert written.count('"event":"request"') == len(answers)
    for text in (*answers, written):
        assert CANARY not in text
        assert KEY not in text


async def test_a_client_that_leaves_cancels_its_work() -> None:
    services = InstantServices()
    services.embedder.hold = True
    app = create_app(settings(), start_services=services.start)
    messages = [{"type": "http.request", "body": b'{"input": "a"}', "more_body": False}, {"type": "http.disconnect"}]
    sent: list[Any] = []

    async def receive() -> Any:
        return messages.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    async with services.start() as running:
        scope = {
            "type": "http", "method": "POST", "path": "/v1/embeddings", "root_path": "", "headers": [],
            "query_string": b"", "state": running.as_state(),
        }  # fmt: skip
        await asyncio.wait_for(app(scope, receive, send), 10)
    assert services.embedder.cancelled.is_set()
    assert sent == []


def test_it_starts_without_triton_and_says_so() -> None:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))  # bound and never listening: nothing can answer there
        chosen = settings(triton_url=f"127.0.0.1:{reserved.getsockname()[1]}", model_repository=REPOSITORY)
        with TestClient(create_app(chosen)) as client:
            assert client.get("/live").status_code == 200
            for path in ("/ready", "/health"):
                assert client.get(path).status_code == 503
            assert client.get("/health").json()["reason"]
            assert client.get("/v1/models").json() == {"object": "list", "data": [], "models": []}
            for model in (None, "all-MiniLM-L6-v2"):
                refused = client.post("/v1/embeddings", json={"input": "a", "model": model})
                assert check_error(refused, 503)["type"] == "server_error"
                assert refused.headers["retry-after"]
            check_error(client.post("/v1/embeddings", json={"input": "a", "model": "no-such-model"}), 404)


def test_service_options_carry_every_setting_of_the_same_name() -> None:
    fields = {field.name for field in dataclasses.fields(ServiceOptions)} - {
        "token_ids",
        "images",
        "caller_weights",
        "calls_side_by_side",
        "fast_models",
        "cache",
    }
    changed = settings(
        triton_url="elsewhere:1", triton_http_url="elsewhere:2", models="a,b", default_model="a", default_reranker="b",
        own_prefixes="keep",
        rerank_long_documents="truncate", tokenizer_path="t", vocabulary_folder="v",
        strict_empty=True, max_request_tokens=2, max_text_bytes=2048, max_queued_tokens=3, calls_in_flight=4,
        recovery_wait_seconds=5, tokenizer_threads=6, canary_interval_seconds=7, default_tasks="a=b",
        max_model_tokens=16, dtype="float16",
    )  # fmt: skip
    options, default = service_options(changed), ServiceOptions()
    for name in fields:
        assert getattr(options, name) == getattr(changed, name)
        assert getattr(options, name) != getattr(default, name)


def test_cache_options_carry_every_setting_of_the_cache() -> None:
    changed = settings(
        cache_bytes=1, cache_url="redis://:password@localhost/1", cache_secret="s" * 32, cache_ttl_seconds=2
    )
    given = service_options(changed).cache
    assert dataclasses.astuple(given) == (1, "redis://:password@localhost/1", "s" * 32, 2.0)
    assert "password" not in repr(changed)
    assert service_options(settings()).cache == CacheOptions(), "the same defaults, and nothing is kept"


def test_image_limits_carry_every_setting_for_images() -> None:
    changed = settings(
        image_urls="off", max_image_bytes=1024, max_image_pixels=2, max_images_bytes=3000, image_fetch_seconds=4,
        image_fetches=5, image_workers=6,
    )  # fmt: skip
    given = service_options(changed).images
    assert dataclasses.astuple(given) == ("off", 1024, 2, 3000, 4.0, 5, 6)
    assert service_options(settings()).images == ImageLimits(), "the same defaults"


@pytest.mark.parametrize(
    ("policy", "vocabulary"),
    [("cl100k_base", Vocabulary.CL100K_BASE), ("model", Vocabulary.MODEL), ("refuse", None)],
)
def test_every_token_id_policy_has_its_vocabulary(policy: str, vocabulary: Vocabulary | None) -> None:
    assert service_options(settings(token_ids=policy)).token_ids is vocabulary
