"""A worker on RunPod's platform, which here is on loopback: the stock client on one side, the stock job loop on the
other."""

from __future__ import annotations

import concurrent.futures
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
import runpod

from tests.conftest import BUNDLED_MODEL, REPOSITORY, missing_bundled_model, need
from tests.support.runpod_platform import ENDPOINT, KEY, Platform, platform
from tests.support.runpod_worker import Worker, dialled, foreign, started
from tests.support.triton_processes import processes_of, segments_of, wait_until, warden_of

pytestmark = [pytest.mark.triton, pytest.mark.usefixtures("tritonserver")]


@pytest.fixture(scope="module")
def cloud() -> Iterator[Platform]:
    with platform() as made:
        yield made


@pytest.fixture(scope="module")
def worker(cloud: Platform, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    need(missing_bundled_model())
    values = {"MODEL_NAME": BUNDLED_MODEL, "GATEWAY_MODEL_REPOSITORY": str(REPOSITORY), "RUNPOD_MAX_CONCURRENCY": "7"}
    with started(tmp_path_factory.mktemp("worker"), **values, **cloud.environment()) as made:
        made.wait_for("ready for jobs")
        yield made


@pytest.fixture
def endpoint(cloud: Platform, worker: Worker, monkeypatch: pytest.MonkeyPatch) -> runpod.Endpoint:
    monkeypatch.setattr(runpod, "endpoint_url_base", cloud.client_base)
    monkeypatch.setenv("NO_PROXY", "*")
    return runpod.Endpoint(ENDPOINT, api_key=KEY)


def test_jobs_are_taken_and_answered(endpoint: runpod.Endpoint) -> None:
    output = endpoint.run_sync({"input": {"input": ["Hello"]}}, timeout=60)
    assert len(output["data"][0]["embedding"]) == 384
    job = endpoint.run({"input": {"input": "Hello"}})
    assert job.output(timeout=30) == output
    assert job.status() == "COMPLETED"


def test_a_faulty_job_is_failed_with_one_string(endpoint: runpod.Endpoint, cloud: Platform) -> None:
    job = endpoint.run({"input": ["bare"]})
    wait_until(lambda: job.status() == "FAILED", seconds=30)
    error = cloud.jobs[job.job_id]["error"]
    assert isinstance(error, str)
    assert error.endswith("(status 400, code invalid_value, param input)")


def test_several_jobs_are_under_way_at_a_time(endpoint: runpod.Endpoint, cloud: Platform) -> None:
    before = len(cloud.batches)
    texts = [f"text {number}" for number in range(12)]
    with concurrent.futures.ThreadPoolExecutor(12) as threads:
        outputs = list(threads.map(lambda text: endpoint.run_sync({"input": {"input": text}}, timeout=60), texts))
    assert {len(output["data"]) for output in outputs} == {1}
    assert len({tuple(output["data"][0]["embedding"]) for output in outputs}) == 12
    assert max(cloud.batches) == 7
    assert cloud.largest_under_way > 1
    assert len(cloud.batches) > before


def test_the_platform_hears_that_the_worker_lives(endpoint: runpod.Endpoint, cloud: Platform) -> None:
    wait_until(lambda: cloud.pings, seconds=10)


def test_nothing_is_dialled_but_the_platform(endpoint: runpod.Endpoint, worker: Worker) -> None:
    endpoint.run_sync({"input": {"input": ["Hello"]}}, timeout=60)
    hosts = dialled(worker.folder)
    assert "127.0.0.1" in hosts
    assert foreign(hosts) == set()


def test_neither_inputs_nor_answers_are_logged(endpoint: runpod.Endpoint, worker: Worker) -> None:
    secret = "a rather unusual sentence"
    output = endpoint.run_sync({"input": {"input": [secret]}}, timeout=60)
    wait_until(lambda: "Finished." in worker.shown(), seconds=10)
    assert secret not in worker.shown()
    assert str(np.round(output["data"][0]["embedding"][0], 6)) not in worker.shown()


def test_a_stop_in_the_midst_of_a_long_poll_is_prompt_and_leaves_nothing(cloud: Platform, tmp_path: Path) -> None:
    need(missing_bundled_model())
    values = {"MODEL_NAME": BUNDLED_MODEL, "GATEWAY_MODEL_REPOSITORY": str(REPOSITORY)}
    polls, pings = len(cloud.batches), len(cloud.pings)
    with started(tmp_path, **values, **cloud.environment()) as worker:
        wait_until(lambda: len(cloud.batches) > polls and len(cloud.pings) > pings, seconds=60)
        wait_until(lambda: max(cloud.batches[polls:]) == 32, seconds=10)
        children = psutil.Process(worker.process.pid).children(recursive=True)
        warden_pid = warden_of(worker.run_folder)
        assert worker.stop(signal.SIGTERM) == 0
        assert "Traceback" not in worker.shown()
        assert not processes_of(worker.run_folder)
        assert not segments_of(warden_pid)
        assert not [child for child in children if child.is_running() and child.status() != psutil.STATUS_ZOMBIE]
