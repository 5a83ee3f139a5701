"""RunPod's own client for Python, unmodified, against the gateway on a real socket, by the cloud's paths."""

from __future__ import annotations

from collections.abc import Iterator

import aiohttp
import numpy as np
import pytest
import requests
import runpod
from runpod.endpoint.asyncio.asyncio_runner import Endpoint as AsyncEndpoint

from gateway.app import create_app
from gateway.types import TextInput
from tests.support.edge import settings
from tests.support.instant_services import InstantServices, expected_vector
from tests.support.live_server import live_server

HELLO = expected_vector(TextInput("Hello")).tolist()


@pytest.fixture
def services() -> InstantServices:
    return InstantServices()


@pytest.fixture
def endpoint(services: InstantServices, monkeypatch: pytest.MonkeyPatch) -> Iterator[runpod.Endpoint]:
    options = settings(api_keys=("right", "another"))
    with live_server(options, create_app(options, start_services=services.start)) as server:
        monkeypatch.setattr(runpod, "endpoint_url_base", f"{server.url}/v2")
        yield runpod.Endpoint("any-id", api_key="right")


def test_a_job_that_is_waited_for(endpoint: runpod.Endpoint) -> None:
    output = endpoint.run_sync({"input": {"input": ["Hello"]}}, timeout=20)
    assert np.float32(output["data"][0]["embedding"]).tolist() == HELLO


def test_a_job_that_is_asked_for_later(endpoint: runpod.Endpoint) -> None:
    job = endpoint.run({"input": {"input": ["Hello"]}})
    output = job.output(timeout=20)
    assert np.float32(output["data"][0]["embedding"]).tolist() == HELLO
    assert job.status() == "COMPLETED"
    assert list(job.stream()) == []


def test_a_job_is_cancelled(endpoint: runpod.Endpoint, services: InstantServices) -> None:
    services.embedder.hold = True
    job = endpoint.run({"input": {"input": ["Hello"]}})
    assert job.status() == "IN_PROGRESS"
    assert job.cancel()["status"] == "CANCELLED"
    assert job.status() == "CANCELLED"


def test_a_failed_job_is_told_as_failed(endpoint: runpod.Endpoint) -> None:
    job = endpoint.run({"input": {"input": ["Hello"], "model": "none"}})
    assert job.output(timeout=20) is None
    assert job.status() == "FAILED"


def test_the_health_and_the_queue_of_an_endpoint(endpoint: runpod.Endpoint) -> None:
    assert endpoint.health()["workers"]["ready"] == 1
    assert endpoint.purge_queue() == {"removed": 0, "status": "completed"}


def test_a_wrong_key_and_anothers_job(endpoint: runpod.Endpoint) -> None:
    with pytest.raises(RuntimeError, match="401"):
        runpod.Endpoint("any-id", api_key="wrong").health()
    job = endpoint.run({"input": {"input": ["Hello"]}})
    other = runpod.Endpoint("any-id", api_key="another")
    with pytest.raises(requests.HTTPError, match="404"):
        other.rp_client.get(f"any-id/status/{job.job_id}")


async def test_its_client_for_asyncio(endpoint: runpod.Endpoint) -> None:
    """Which puts every input into one of its own."""
    async with aiohttp.ClientSession() as session:
        job = await AsyncEndpoint("any-id", session, api_key="right").run({"input": ["Hello"]})
        output = await job.output(timeout=20)
        assert np.float32(output["data"][0]["embedding"]).tolist() == HELLO
        assert await job.status() == "COMPLETED"
