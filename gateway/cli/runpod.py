"""`gateway runpod`: a worker of RunPod serverless. Triton and the service in one process group, jobs from the runpod
package."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import Annotated

import structlog
import typer

from gateway.app import VERSION, served_by_triton
from gateway.cards.schema import Card
from gateway.cli import run_file
from gateway.cli.announcement import ProgressLine
from gateway.cli.fast_models import chosen_fast_models
from gateway.cli.named_models import RepositoryOption
from gateway.cli.port_choice import PORT_OPTIONS, chosen_ports
from gateway.cli.runpod_models import DEFAULT_MODEL, ready_models
from gateway.cli.setting_help import PORT
from gateway.cli.torch_presence import overflow_note
from gateway.cli.up import StopRequested, embedded_triton, memory_note, side_by_side, stop_signals
from gateway.dialects.base import Services
from gateway.dialects.inputs import InputLimits
from gateway.dialects.runpod_jobs import JobHandler
from gateway.dialects.runpod_limits import JobLimits
from gateway.errors import SetupError
from gateway.runpod import package
from gateway.runpod.arguments import Arguments, LogLevel, job_to_run
from gateway.runpod.readiness import until_ready
from gateway.runpod.service_thread import LoopThread
from gateway.settings import Settings, load_settings
from gateway.telemetry.logging import configure_logging
from gateway.telemetry.metrics import build_metrics
from gateway.triton.embedded import installed_server
from gateway.triton.embedded.background import BackgroundTriton
from gateway.triton.embedded.ports import holder_of, is_free, pick_free

# Its lock and logs are not those of a `gateway up` beside it.
RUN_FOLDER = "runpod"

TestInputOption = Annotated[
    str | None,
    typer.Option("--test_input", metavar="JSON", help="Run this one job and print its answer.", show_default=False),
]
ServeOption = Annotated[bool, typer.Option("--rp_serve_api", help="Serve runpod's local test API instead of jobs.")]
ApiHostOption = Annotated[str, typer.Option("--rp_api_host", metavar="ADDRESS", help="Where that API listens.")]
ApiPortOption = Annotated[int, typer.Option("--rp_api_port", metavar=PORT, min=1, max=65535, help="Its port.")]
ApiConcurrencyOption = Annotated[
    int,
    typer.Option(
        "--rp_api_concurrency", min=1, help="Taken for runpod's sake: one process answers any number of jobs at a time."
    ),
]
LogLevelOption = Annotated[
    LogLevel | None,
    typer.Option(
        "--rp_log_level",
        case_sensitive=False,
        help="Of the runpod package's own log; at DEBUG it holds inputs and answers.",
    ),
]
ServedOption = Annotated[
    list[str] | None,
    typer.Option(
        "--model",
        metavar="NAME",
        help="Serve this model; may be repeated. Also GATEWAY_MODELS, comma-separated (default: MODEL_NAME, else "
        f"{DEFAULT_MODEL})",
    ),
]
DebuggerOption = Annotated[bool, typer.Option("--rp_debugger", help="Add runpod's timings to each job's answer.")]


def runpod(
    test_input: TestInputOption = None,
    rp_serve_api: ServeOption = False,
    rp_api_host: ApiHostOption = "localhost",
    rp_api_port: ApiPortOption = 8000,
    rp_api_concurrency: ApiConcurrencyOption = 1,
    rp_log_level: LogLevelOption = None,
    rp_debugger: DebuggerOption = False,
    model: ServedOption = None,
    model_repository: RepositoryOption = None,
) -> None:
    """Run a RunPod serverless worker; its model is MODEL_NAME."""
    del rp_api_concurrency
    settings = load_settings(models=tuple(model) if model else None, model_repository=model_repository)
    configure_logging(level=settings.log_level, log_format=settings.log_format)
    arguments = Arguments(
        test_input=job_to_run(test_input, serves=rp_serve_api, environment=os.environ),
        serve_api=rp_serve_api,
        api_host=rp_api_host,
        api_port=rp_api_port,
        log_level=rp_log_level,
        debugger=rp_debugger,
    )
    raise typer.Exit(run(settings, arguments))


def run(settings: Settings, arguments: Arguments) -> int:
    """From settings to the exit code. Raises `SetupError` for what an operator can mend."""
    serverless = package.load()
    installed_server.located(settings.triton_home)
    settings = settings.model_copy(update={"run_folder": settings.run_folder / RUN_FOLDER})
    code = 0
    with contextlib.suppress(StopRequested), stop_signals(), run_file.sole_run(settings.run_folder):
        settings, cards = ready_models(settings)
        settings = with_ports(settings, arguments)
        with LoopThread("service") as loop, running(settings, cards, loop) as services:
            handler = loop.bridged(JobHandler(services, limits_of(settings)).answer)
            words = arguments.as_words(os.environ)
            if arguments.is_test:
                code = package.run_once(serverless, handler, words=words)
            else:
                code = package.serve(
                    serverless,
                    handler,
                    words=words,
                    concurrency=settings.job_concurrency,
                    drain_seconds=settings.drain_seconds,
                )
    return code


@contextlib.contextmanager
def running(settings: Settings, cards: tuple[Card, ...], loop: LoopThread) -> Iterator[Services]:
    """Triton and, in `loop`, the service, once every model has proved itself."""
    log = structlog.get_logger("gateway.runpod")
    for note in (*memory_note(cards, dtype=settings.dtype), *overflow_note(cards, dtype=settings.dtype)):
        log.warning(note)
    line = ProgressLine(sys.stderr)
    fast = chosen_fast_models(settings, cards)
    for note in fast.notes:
        log.warning(note)
    with BackgroundTriton(embedded_triton(settings, line, fast_models=fast.models)) as background:
        line.finish(background.start([card.name for card in cards]))
        start = served_by_triton(settings, None, calls_side_by_side=side_by_side(settings), fast_models=fast.models)
        with loop.running(start(build_metrics(version=VERSION))) as services:
            loop.call(until_ready(services.health, tell=log.info))
            log.info("ready for jobs", models=[card.name for card in cards], concurrency=settings.job_concurrency)
            yield services


def with_ports(settings: Settings, arguments: Arguments) -> Settings:
    """Triton on any free ports, unless settings name some, and none of them the local API's. Nobody else has to find
    them, and workers that start at the same time must not choose the same.

    Raises `SetupError` where the local API cannot listen.
    """
    names = [name for name, _, _ in PORT_OPTIONS if name not in settings.model_fields_set]
    ports = dict(zip(names, pick_free(len(names)), strict=True))
    if arguments.serve_api:
        _check_api_port(arguments)
        ports["port"] = arguments.api_port
    return chosen_ports(settings.model_copy(update=ports), auto=True)


def _check_api_port(arguments: Arguments) -> None:
    """Before a model is loaded for it."""
    if not is_free(arguments.api_port, host=arguments.api_host):
        raise SetupError(
            f"Port {arguments.api_port} (RunPod's local API) is taken by {holder_of(arguments.api_port)}.",
            remedy="Stop that process, or choose another port with --rp_api_port.",
            code="port_taken",
        )


def limits_of(settings: Settings) -> JobLimits:
    return JobLimits(
        inputs=InputLimits(max_inputs=settings.max_inputs, max_image_bytes=settings.max_image_bytes),
        request_timeout_seconds=settings.request_timeout_seconds,
        max_output_bytes=settings.max_job_output_bytes,
    )
