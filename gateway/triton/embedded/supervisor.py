"""Keeps a real tritonserver running on loopback: starts it, waits for its models, restarts it after a crash."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import httpx

from gateway.errors import EmbeddedTritonError
from gateway.triton.embedded import backend_directory, distribution, installed_server, server_log
from gateway.triton.embedded.command import command_line, environment, working_folder
from gateway.triton.embedded.model_configs import has_python_models
from gateway.triton.embedded.ports import LOOPBACK, Ports
from gateway.triton.embedded.probe import DEAF_PROBES, Probe
from gateway.triton.embedded.python_models import LOAD_SECONDS, PythonModelSettings
from gateway.triton.embedded.server_process import ServerProcess
from gateway.triton.engine import ModelStatus

logger = logging.getLogger(__name__)

LOG_NAME = "triton.log"
BACKENDS_NAME = "backends"
POLL_SECONDS = 0.05
# A server that dies is noticed at once; one that loads for too long gives up that model by itself.
START_SECONDS = LOAD_SECONDS + 300.0

# The first restart comes at once: most crashes are single ones, and callers are waiting.
RESTART_DELAYS_SECONDS = (0.0, 0.5, 1.0, 2.0, 5.0)
STABLE_SECONDS = 30.0

# The same words as in backends/onnxruntime, which runs in the stub and cannot be imported here.
FAST_MODELS = "GATEWAY_FAST_MODELS"
ENVIRONMENT_MARK = "wrong-environment:"


@dataclass(frozen=True, slots=True)
class Endpoints:
    """`host:port` of each of the server's protocols."""

    grpc: str
    http: str
    metrics: str


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a start has come, for a line on a terminal."""

    elapsed_seconds: float
    settled: tuple[str, ...]
    waiting: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class StartReport:
    """What a start came to. `failed` holds Triton's own reason by model; `stub_environment` what the stub runs in."""

    endpoints: Endpoints
    ready: tuple[str, ...]
    failed: Mapping[str, str]
    seconds: float
    stub_environment: str | None


class EmbeddedTriton:
    """One tritonserver. Use as an async context manager; leaving it stops the server and all that belongs to it."""

    def __init__(
        self,
        *,
        repository: Path,
        run_folder: Path,
        ports: Ports,
        on_progress: Callable[[Progress], None] = lambda _: None,
        home: Path | None = None,
        python_models: PythonModelSettings | None = None,
        fast_models: Sequence[str] = (),
    ) -> None:
        """`home`: the folder of a tritonserver to use instead of the wheel's, such as /opt/tritonserver. `fast_models`
        are those that the backend here computes in bfloat16."""
        self._repository = repository.resolve()
        self._run_folder = run_folder.resolve()
        self._folder = working_folder(self._repository, self._run_folder)
        self._ports = ports
        self._on_progress = on_progress
        self._home = home
        self._python_models = python_models or PythonModelSettings()
        self._fast_models = tuple(fast_models)
        self._models: tuple[str, ...] = ()
        self._command: list[str] = []
        self._environment: dict[str, str] = {}
        self._server: ServerProcess | None = None
        self._watch: asyncio.Task[None] | None = None
        self.restarts = 0

    async def __aenter__(self) -> EmbeddedTriton:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    @property
    def endpoints(self) -> Endpoints:
        ports = self._ports
        return Endpoints(*(f"{LOOPBACK}:{port}" for port in (ports.grpc, ports.http, ports.metrics)))

    @property
    def log(self) -> Path:
        return self._run_folder / LOG_NAME

    @property
    def server_pid(self) -> int | None:
        """The server's pid, or None while there is none."""
        return self._server.pid if self._server is not None and self._server.running else None

    @property
    def warden_pid(self) -> int | None:
        return self._server.warden_pid if self._server is not None and self._server.running else None

    async def start(self, models: Sequence[str]) -> StartReport:
        """Start the server with these models and wait until it serves; afterwards it is restarted when it crashes.

        Raises `EmbeddedTritonError` where it cannot run here, does not come up, or not one model loads.
        """
        await asyncio.to_thread(self._prepare, tuple(models))
        try:
            report = await self._launch()
            refuse_failed_start(report)
        except BaseException:
            await self.stop()
            raise
        self._watch = asyncio.create_task(self._keep_running(), name="embedded-triton")
        return report

    async def stop(self) -> None:
        """Stop for good. Safe to call twice, and at any moment of a start or restart."""
        if self._watch is not None:
            self._watch.cancel()
            # Whatever the watch ended with, the server is still to be stopped.
            await asyncio.wait({self._watch})
            self._watch = None
        await self._end_server()

    async def _end_server(self) -> None:
        if self._server is not None:
            await self._server.stop()
            self._server = None

    def _prepare(self, models: tuple[str, ...]) -> None:
        found = installed_server.located(self._home)
        self._run_folder.mkdir(parents=True, exist_ok=True)
        backends = backend_directory.prepared(found, self._run_folder / BACKENDS_NAME)
        self._models = models
        self._environment = environment(
            found, settings=self._python_models, has_python_models=has_python_models(self._repository, models)
        )
        if self._fast_models:
            self._environment[FAST_MODELS] = ",".join(self._fast_models)
        self._command = command_line(
            found,
            folder=self._folder,
            backends=backends,
            repository=self._repository,
            models=models,
            ports=self._ports,
        )

    async def _launch(self) -> StartReport:
        begin = time.monotonic()
        self._server = await ServerProcess.start(
            self._command, folder=self._folder, environment=self._environment, log=self.log
        )
        try:
            async with Probe(self.endpoints.http) as probe, asyncio.timeout(START_SECONDS):
                await self._wait_until_live(probe, begin=begin)
                states = {status.name: status for status in await probe.models()}
        except (TimeoutError, httpx.HTTPError) as error:
            raise self._not_up(f"{type(error).__name__} after {time.monotonic() - begin:.0f} s") from error
        missing = f"not found in {self._repository}"
        statuses = [states.get(model, ModelStatus(model, "UNAVAILABLE", missing)) for model in self._models]
        return StartReport(
            endpoints=self.endpoints,
            ready=tuple(status.name for status in statuses if status.ready),
            failed={status.name: status.reason for status in statuses if not status.ready},
            seconds=time.monotonic() - begin,
            stub_environment=server_log.stub_environment(server_log.read(self.log)),
        )

    async def _wait_until_live(self, probe: Probe, *, begin: float) -> None:
        assert self._server is not None
        while not await probe.is_live():
            self._report_progress(begin)
            await asyncio.sleep(POLL_SECONDS)
            if not self._server.running:
                raise self._not_up(await self._server.ended())

    def _not_up(self, reason: str) -> EmbeddedTritonError:
        return EmbeddedTritonError(
            f"Triton did not come up: {reason}. Its last words:\n{server_log.last_words(server_log.read(self.log))}",
            remedy=f"The whole log is in {self.log}.",
        )

    def _report_progress(self, begin: float) -> None:
        settled = server_log.settled_models(server_log.read(self.log))
        self._on_progress(
            Progress(
                elapsed_seconds=time.monotonic() - begin,
                settled=tuple(model for model in self._models if model in settled),
                waiting=tuple(model for model in self._models if model not in settled),
            )
        )

    async def _keep_running(self) -> None:
        failures = 0
        while True:
            begin = time.monotonic()
            reason = await self._lost(self._server) if self._server is not None else "it did not start"
            failures = 1 if time.monotonic() - begin > STABLE_SECONDS else failures + 1
            delay = RESTART_DELAYS_SECONDS[min(failures, len(RESTART_DELAYS_SECONDS)) - 1]
            logger.error("Triton is gone: %s; starting it again in %.1f s", reason, delay)
            await asyncio.sleep(delay)
            await self._restart()

    async def _lost(self, server: ServerProcess) -> str:
        """Wait until the server is gone, or hangs and is ended for it; says why, in words."""
        async with Probe(self.endpoints.http) as probe:
            deaf = asyncio.create_task(probe.until_deaf())
            ended = asyncio.create_task(server.ended())
            try:
                await asyncio.wait({deaf, ended}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                deaf.cancel()
                ended.cancel()
        if ended.done() and not ended.cancelled():
            return ended.result()
        await server.stop()
        return f"it did not answer {DEAF_PROBES} times in a row"

    async def _restart(self) -> None:
        """One attempt. What goes wrong is reported and left to the next one: restarting never gives up."""
        self.restarts += 1
        try:
            report = await self._launch()
        except (EmbeddedTritonError, OSError) as error:
            logger.error("Triton could not be started again: %s", error)
            await self._end_server()
            return
        logger.warning("Triton serves again after %.1f s: %s", report.seconds, ", ".join(report.ready) or "no model")
        for model, reason in report.failed.items():
            logger.error("model %s did not load: %s", model, reason)


def refuse_failed_start(report: StartReport) -> None:
    """Raise where not one model can be served, or where the stub runs in the wrong environment."""
    for reason in report.failed.values():
        if ENVIRONMENT_MARK in reason:
            raise EmbeddedTritonError(
                f"Triton's Python process cannot be used: {reason.partition(ENVIRONMENT_MARK)[2].strip()}.",
                remedy=distribution.INSTALL,
            )
    if report.failed and not report.ready:
        reasons = "\n".join(f"{model}: {reason}" for model, reason in report.failed.items())
        raise EmbeddedTritonError(
            f"Triton runs, but no model could be loaded.\n{reasons}",
            remedy="gateway models verify, and see the reason above.",
        )
