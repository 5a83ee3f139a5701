"""`gateway up` as people run it: one process that brings Triton and the gateway, and takes both away again."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from gateway.triton.embedded.ports import pick_free
from tests.conftest import BUNDLED_MODEL, REPOSITORY, missing_bundled_model, need
from tests.support.triton_processes import processes_of, segments_of, wait_until, warden_of

STOP_LIMIT_SECONDS = 10.0
READY_LIMIT_SECONDS = 60.0

pytestmark = pytest.mark.usefixtures("tritonserver")


@dataclass(frozen=True)
class Up:
    """A `gateway up` under way."""

    process: subprocess.Popen[str]
    run_folder: Path
    output: Path

    @property
    def record(self) -> dict[str, object]:
        return json.loads((self.run_folder / "up.json").read_text())

    def shown(self) -> str:
        return self.output.read_text()

    def wait_for(self, text: str) -> None:
        wait_until(lambda: text in self.shown() or self.process.poll() is not None, seconds=READY_LIMIT_SECONDS)
        assert text in self.shown(), self.shown()

    def stop(self, number: signal.Signals) -> int:
        self.process.send_signal(number)
        return self.process.wait(STOP_LIMIT_SECONDS)


def environment(run_folder: Path, **values: str) -> dict[str, str]:
    kept = {name: text for name, text in os.environ.items() if not name.startswith("GATEWAY_")}
    return {**kept, "GATEWAY_RUN_FOLDER": str(run_folder), "GATEWAY_MODEL_REPOSITORY": str(REPOSITORY), **values}


def command(*options: str) -> list[str]:
    return [sys.executable, "-m", "gateway", "up", *options]


def free_port_options() -> list[str]:
    names = ("--port", "--grpc-port", "--http-port", "--metrics-port")
    return [part for name, port in zip(names, pick_free(4), strict=True) for part in (name, str(port))]


@contextlib.contextmanager
def started(folder: Path, **values: str) -> Iterator[Up]:
    """A `gateway up` on free ports; killed in the end if it is still there."""
    run_folder, output = folder / "run", folder / "output"
    with output.open("w") as stream:
        process = subprocess.Popen(
            command(*free_port_options()),
            stdout=stream,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=folder,
            env=environment(run_folder, **values),
        )
    try:
        yield Up(process, run_folder, output)
    finally:
        process.kill()
        process.wait()
        wait_until(lambda: not processes_of(run_folder), seconds=STOP_LIMIT_SECONDS)


def run(folder: Path, *options: str, **values: str) -> subprocess.CompletedProcess[str]:
    """A `gateway up` that is expected to refuse."""
    return subprocess.run(
        command(*options), capture_output=True, text=True, cwd=folder, env=environment(folder, **values), timeout=60
    )


def assert_nothing_left(run_folder: Path, warden_pid: int) -> None:
    assert not processes_of(run_folder)
    assert not segments_of(warden_pid)
    assert not (run_folder / "up.json").exists()


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Up]:
    need(missing_bundled_model())
    with started(tmp_path) as made:
        made.wait_for("Ctrl-C stops everything.")
        yield made


def test_up_serves_says_how_refuses_a_second_one_and_ends_with_ctrl_c(up: Up) -> None:
    url, warden_pid = str(up.record["url"]), warden_of(up.run_folder)
    assert segments_of(warden_pid)
    assert up.record["pid"] == up.process.pid
    assert f"Ready: {BUNDLED_MODEL}" in up.shown()
    answer = httpx.post(f"{url}/v1/embeddings", json={"model": BUNDLED_MODEL, "input": "Hello, world"}, timeout=30)
    assert answer.status_code == 200
    assert len(answer.json()["data"][0]["embedding"]) == 384

    second = subprocess.run(
        command(*free_port_options()),
        capture_output=True,
        text=True,
        env=environment(up.run_folder),
        timeout=60,
    )
    assert second.returncode == 1
    assert f"already runs from {up.run_folder} as process {up.process.pid}, {url}" in second.stderr

    assert up.stop(signal.SIGINT) == 0
    assert "Traceback" not in up.shown()
    assert_nothing_left(up.run_folder, warden_pid)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_up_ends_in_time_even_with_a_dead_stub(up: Up, number: signal.Signals) -> None:
    warden_pid = warden_of(up.run_folder)
    (stub,) = (process for process in processes_of(up.run_folder) if "stub" in process.name())
    stub.kill()
    assert up.stop(number) == 0
    assert_nothing_left(up.run_folder, warden_pid)


def test_a_killed_gateway_leaves_no_process_and_no_shared_memory(up: Up) -> None:
    warden_pid = warden_of(up.run_folder)
    assert segments_of(warden_pid)
    up.process.kill()
    up.process.wait()
    wait_until(lambda: not processes_of(up.run_folder), seconds=STOP_LIMIT_SECONDS)
    assert not segments_of(warden_pid)


def test_a_stop_while_models_load_is_a_clean_one(tmp_path: Path) -> None:
    need(missing_bundled_model())
    with started(tmp_path) as made:
        made.wait_for(f"loading {BUNDLED_MODEL}")
        assert made.stop(signal.SIGTERM) == 0
        assert "Traceback" not in made.shown()
        assert not processes_of(made.run_folder)
        assert not (made.run_folder / "up.json").exists()


def test_a_taken_port_names_its_holder(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        options = free_port_options()
        options[options.index("--grpc-port") + 1] = str(taken.getsockname()[1])
        refused = run(tmp_path, *options)
    assert refused.returncode == 1
    assert f"is taken by process {os.getpid()}" in refused.stderr
    assert "--grpc-port" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_no_complete_model_names_the_command_that_gets_one(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    refused = run(tmp_path, *free_port_options(), GATEWAY_MODEL_REPOSITORY=str(tmp_path / "empty"))
    assert refused.returncode == 1
    assert "gateway models pull all-MiniLM-L6-v2" in refused.stderr


@pytest.mark.parametrize("options", [["--port", "70000"], ["--no-such-option"], ["--port", "x"]])
def test_wrong_usage_is_exit_code_2(tmp_path: Path, options: list[str]) -> None:
    assert run(tmp_path, *options).returncode == 2
