"""The life of a real server: crashes of either side, and that nothing is ever left behind."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
from tritonclient.grpc.aio import InferenceServerClient, InferInput
from tritonclient.utils import InferenceServerException

from gateway.errors import EmbeddedTritonError
from gateway.triton.embedded import command, distribution, probe, supervisor, warden
from gateway.triton.embedded.ports import Ports, pick_free
from gateway.triton.embedded.python_models import PythonModelSettings
from gateway.triton.embedded.supervisor import EmbeddedTriton, Progress
from tests.support import graphs

STOP_LIMIT_SECONDS = 10.0
START_LIMIT_SECONDS = 30.0

pytestmark = pytest.mark.usefixtures("tritonserver")


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("repository")
    graphs.write_model(folder, "dense", graphs.dense())
    return folder


@pytest.fixture
def triton(repository: Path, tmp_path: Path) -> EmbeddedTriton:
    return EmbeddedTriton(repository=repository, run_folder=tmp_path / "run", ports=Ports(*pick_free(3)))


@pytest.fixture
async def running(triton: EmbeddedTriton) -> AsyncIterator[EmbeddedTriton]:
    async with triton:
        await triton.start(["dense"])
        first_warden = triton.warden_pid
        yield triton
        last_warden = triton.warden_pid
        async with asyncio.timeout(STOP_LIMIT_SECONDS):
            await triton.stop()
    await until(lambda: nothing_left(triton, first_warden, last_warden))


@pytest.fixture
async def client(running: EmbeddedTriton) -> AsyncIterator[InferenceServerClient]:
    async with InferenceServerClient(running.endpoints.grpc) as made:
        yield made


async def infer(client: InferenceServerClient) -> tuple[int, ...]:
    tensor = InferInput("x", [2, 64], "FP32")
    tensor.set_data_from_numpy(np.ones((2, 64), np.float32))
    result = await client.infer("dense", [tensor], client_timeout=10)
    return tuple(result.as_numpy("y").shape)


async def infer_until_answered(client: InferenceServerClient) -> None:
    async with asyncio.timeout(START_LIMIT_SECONDS):
        while True:
            try:
                await infer(client)
            except InferenceServerException:
                await asyncio.sleep(0.05)
            else:
                return


async def until(condition: Callable[[], bool], *, seconds: float = STOP_LIMIT_SECONDS) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110  processes send no event
            await asyncio.sleep(0.02)


def processes_of(run_folder: Path) -> list[int]:
    """Every living process whose command line names the run folder: server, stubs and their warden."""
    found = []
    for process in psutil.process_iter(["pid", "cmdline", "status"]):
        command = " ".join(process.info["cmdline"] or [])
        if str(run_folder) in command and process.info["status"] != psutil.STATUS_ZOMBIE:
            found.append(process.info["pid"])
    return found


def stubs_of(server_pid: int) -> list[psutil.Process]:
    return [child for child in psutil.Process(server_pid).children() if "stub" in child.name()]


def segments_of(warden_pid: int | None) -> list[warden.Owner]:
    """The shared memory that this warden's server made; other sessions on this machine have theirs."""
    return [owner for owner in warden.owners() if owner.pid == warden_pid]


def nothing_left(triton: EmbeddedTriton, *warden_pids: int | None) -> bool:
    return not processes_of(triton.log.parent) and not any(segments_of(pid) for pid in warden_pids)


async def test_start_reports_progress_and_gives_away_nothing(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GATEWAY_API_KEYS", "planted-key")
    monkeypatch.setenv("HF_TOKEN", "planted-token")
    seen: list[Progress] = []
    before = server_folders()
    triton = EmbeddedTriton(
        repository=repository, run_folder=tmp_path, ports=Ports(*pick_free(3)), on_progress=seen.append
    )
    async with triton:
        report = await triton.start(["dense", "nowhere"])
        assert report.ready == ("dense",)
        assert "not found" in report.failed["nowhere"]
        warden_pid = triton.warden_pid
        assert segments_of(warden_pid), "the shared memory has to carry our prefix, or nobody can sweep it"
        announced = {report.endpoints.grpc, report.endpoints.http, report.endpoints.metrics}
        assert all_listening_addresses(triton.server_pid, at_least=announced) == announced
        assert not any(holds_planted_secret(pid) for pid in processes_of(tmp_path))
        made = server_folders() - before
        assert made
    assert seen[0].waiting == ("dense", "nowhere")
    assert [step.elapsed_seconds for step in seen] == sorted(step.elapsed_seconds for step in seen)
    assert nothing_left(triton, warden_pid)
    if len(made) == 1:  # more are other sessions' on this machine, which nobody may touch
        assert not made & server_folders()


@pytest.mark.parametrize("name", ["a folder with blanks", "it's"])
async def test_a_blank_above_the_folders_does_no_harm(tmp_path: Path, name: str) -> None:
    graphs.write_model(tmp_path / name / "models", "dense", graphs.dense())
    run_folder = tmp_path / name / "run"
    triton = EmbeddedTriton(repository=tmp_path / name / "models", run_folder=run_folder, ports=Ports(*pick_free(3)))
    async with triton, asyncio.timeout(START_LIMIT_SECONDS):
        assert (await triton.start(["dense"])).ready == ("dense",)
        async with InferenceServerClient(triton.endpoints.grpc) as client:
            assert await infer(client)


async def test_a_blank_in_the_folder_itself_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    graphs.write_model(tmp_path / "my models", "dense", graphs.dense())
    triton = EmbeddedTriton(repository=tmp_path / "my models", run_folder=tmp_path / "run", ports=Ports(*pick_free(3)))
    async with triton:
        with pytest.raises(EmbeddedTritonError, match=r"a blank.*my models") as caught:
            await triton.start(["dense"])
    assert "GATEWAY_MODEL_REPOSITORY" in str(caught.value.remedy)


def server_folders() -> set[Path]:
    return set(warden.TEMPORARY.glob(warden.SERVER_FOLDER_PATTERN))


def all_listening_addresses(pid: int | None, *, at_least: set[str]) -> set[str]:
    """What several looks found together, until `at_least` is there or 50 looks were taken: Linux lists sockets in
    portions and leaves some out while others are opened and closed."""
    found: set[str] = set()
    for _ in range(50):
        found |= listening_addresses(pid)
        if at_least <= found:
            break
    return found | listening_addresses(pid)


def listening_addresses(pid: int | None) -> set[str]:
    """`host:port` of all that a process listens on; IPv4 addresses mapped into IPv6 are given as IPv4."""
    return {
        f"{connection.laddr.ip.removeprefix('::ffff:')}:{connection.laddr.port}"
        for connection in psutil.Process(pid).net_connections(kind="inet")
        if connection.status == psutil.CONN_LISTEN
    }


def holds_planted_secret(pid: int) -> bool:
    return b"planted" in Path(f"/proc/{pid}/environ").read_bytes()


async def test_a_killed_server_is_started_again(running: EmbeddedTriton, client: InferenceServerClient) -> None:
    assert await infer(client) == (2, 48)
    first = running.server_pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    await until(lambda: running.server_pid not in (None, first))
    await infer_until_answered(client)
    assert running.restarts == 1
    assert (running.log.with_suffix(".log.1")).exists()


async def test_a_server_that_hangs_is_ended_and_started_again(
    running: EmbeddedTriton, client: InferenceServerClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probe, "DEAF_PROBES", 2)
    hung = running.server_pid
    assert hung is not None
    os.kill(hung, signal.SIGSTOP)
    await until(lambda: running.server_pid not in (None, hung), seconds=30)
    await infer_until_answered(client)
    assert not psutil.pid_exists(hung)


async def test_a_killed_stub_is_healed_by_unload_and_load(
    running: EmbeddedTriton, client: InferenceServerClient
) -> None:
    assert running.server_pid is not None
    for stub in stubs_of(running.server_pid):
        stub.kill()
    with pytest.raises(InferenceServerException, match="not healthy"):
        await infer(client)
    assert await client.is_model_ready("dense"), "Triton now notices dead stubs by itself; the healing can be simpler"
    await client.unload_model("dense")
    async with asyncio.timeout(START_LIMIT_SECONDS):
        while await client.is_model_ready("dense"):  # noqa: ASYNC110  Triton sends no event
            await asyncio.sleep(0.02)
    await client.load_model("dense")
    assert await infer(client) == (2, 48)


async def test_stopping_with_a_dead_stub_keeps_the_limit(
    running: EmbeddedTriton, client: InferenceServerClient
) -> None:
    assert running.server_pid is not None
    warden_pid = running.warden_pid
    for stub in stubs_of(running.server_pid):
        stub.kill()
    with pytest.raises(InferenceServerException):
        await infer(client)
    async with asyncio.timeout(STOP_LIMIT_SECONDS):
        await running.stop()
    assert nothing_left(running, warden_pid)


async def test_a_killed_warden_takes_all_with_it_and_is_replaced(
    running: EmbeddedTriton, client: InferenceServerClient
) -> None:
    first_server, first_warden = running.server_pid, running.warden_pid
    assert first_server is not None
    assert first_warden is not None
    old = [first_server, *(stub.pid for stub in stubs_of(first_server))]
    os.kill(first_warden, signal.SIGKILL)
    await until(lambda: running.server_pid not in (None, first_server))
    await infer_until_answered(client)
    await until(lambda: not any(alive(pid) for pid in old))
    assert not segments_of(first_warden)


def alive(pid: int) -> bool:
    fields = warden.stat_fields(pid)
    return bool(fields) and fields[0] != "Z"


LONE_SUPERVISOR = """
import asyncio, sys
from pathlib import Path
from gateway.triton.embedded.ports import Ports, pick_free
from gateway.triton.embedded.supervisor import EmbeddedTriton

async def main():
    triton = EmbeddedTriton(repository=Path(sys.argv[1]), run_folder=Path(sys.argv[2]), ports=Ports(*pick_free(3)))
    await triton.start(["dense"])
    print(triton.warden_pid, flush=True)
    await asyncio.sleep(600)

asyncio.run(main())
"""


@pytest.fixture
def lone_supervisor(repository: Path, tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A process that runs a server and can be killed; with its warden's pid."""
    process = subprocess.Popen(
        [sys.executable, "-c", LONE_SUPERVISOR, str(repository), str(tmp_path / "run")],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    with process.stdout:
        yield process, int(process.stdout.readline())
        process.kill()
        process.wait()


async def test_a_killed_supervisor_leaves_nothing(
    lone_supervisor: tuple[subprocess.Popen[str], int], tmp_path: Path
) -> None:
    process, warden_pid = lone_supervisor
    assert len(processes_of(tmp_path / "run")) >= 3
    assert segments_of(warden_pid)
    process.kill()
    process.wait()
    await until(lambda: not processes_of(tmp_path / "run") and not segments_of(warden_pid))


async def test_what_is_left_when_all_are_killed_at_once_is_swept_by_the_next_start(
    lone_supervisor: tuple[subprocess.Popen[str], int], tmp_path: Path, triton: EmbeddedTriton
) -> None:
    process, warden_pid = lone_supervisor
    stubs = [pid for pid in processes_of(tmp_path / "run") if "stub" in psutil.Process(pid).name()]
    for pid in (warden_pid, *stubs):
        os.kill(pid, signal.SIGSTOP)  # so that none of them can clean up between the kills
    process.kill()
    for pid in (*stubs, warden_pid):
        os.kill(pid, signal.SIGKILL)
    process.wait()
    await until(lambda: not processes_of(tmp_path / "run"))
    assert segments_of(warden_pid), "if nothing is left, the sweep below proves nothing"
    async with triton:
        await triton.start(["dense"])
        assert not segments_of(warden_pid)


async def test_no_model_at_all_is_an_error_with_tritons_reason(triton: EmbeddedTriton) -> None:
    with pytest.raises(EmbeddedTritonError, match="nowhere: not found"):
        await triton.start(["nowhere"])
    assert nothing_left(triton)


async def test_a_stub_in_another_environment_is_found_out_at_the_start(
    triton: EmbeddedTriton, monkeypatch: pytest.MonkeyPatch
) -> None:
    def elsewhere(
        found: distribution.Distribution, *, settings: PythonModelSettings, has_python_models: bool
    ) -> dict[str, str]:
        rightly = command.environment(found, settings=settings, has_python_models=has_python_models)
        return {**rightly, "GATEWAY_STUB_PREFIX": "/nowhere"}

    monkeypatch.setattr(supervisor, "environment", elsewhere)
    with pytest.raises(EmbeddedTritonError, match="another Python environment") as caught:
        await triton.start(["dense"])
    assert caught.value.remedy == distribution.INSTALL


async def test_a_server_that_does_not_come_up_shows_its_last_words(repository: Path, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        grpc, metrics = pick_free(2)
        ports = Ports(grpc=grpc, http=taken.getsockname()[1], metrics=metrics)
        triton = EmbeddedTriton(repository=repository, run_folder=tmp_path, ports=ports)
        with pytest.raises(EmbeddedTritonError, match="did not come up") as caught:
            await triton.start(["dense"])
    assert "HTTP" in caught.value.message
    assert caught.value.remedy is not None
    assert nothing_left(triton)


async def test_a_watch_that_failed_does_not_keep_the_server_from_being_stopped(
    running: EmbeddedTriton, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail() -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(running, "_restart", fail)
    warden_pid = running.warden_pid
    assert running.server_pid is not None
    os.kill(running.server_pid, signal.SIGKILL)
    watch = running._watch
    assert watch is not None
    await asyncio.wait({watch}, timeout=STOP_LIMIT_SECONDS)
    await running.stop()
    assert isinstance(watch.exception(), ZeroDivisionError)
    assert nothing_left(running, warden_pid)


async def test_a_server_that_takes_too_long_is_told_and_leaves_nothing(
    triton: EmbeddedTriton, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "START_SECONDS", 0.05)
    with pytest.raises(EmbeddedTritonError, match="did not come up: TimeoutError"):
        await triton.start(["dense"])
    assert nothing_left(triton)


async def test_a_start_that_is_given_up_leaves_nothing(triton: EmbeddedTriton) -> None:
    start = asyncio.create_task(triton.start(["dense"]))
    await until(lambda: bool(processes_of(triton.log.parent)) or start.done())
    start.cancel()
    with pytest.raises(asyncio.CancelledError):
        await start
    await until(lambda: nothing_left(triton))
