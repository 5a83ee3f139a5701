"""`gateway up`: a real Triton on this machine and the gateway in front of it, in one command."""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from itertools import chain
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, NoReturn

import psutil
import typer
from typer.models import OptionInfo

from gateway.artifacts.completeness import is_complete, missing_files
from gateway.cards.registry import Registry
from gateway.cards.schema import Card, Model
from gateway.cli import run_file
from gateway.cli.announcement import ProgressLine, announced, ready_block
from gateway.cli.fast_models import chosen_fast_models
from gateway.cli.named_models import RepositoryOption, cards_named
from gateway.cli.port_choice import chosen_ports, triton_ports
from gateway.cli.postponed_stops import postponed_stops
from gateway.cli.serve import run_server
from gateway.cli.setting_help import PORT, default_of
from gateway.cli.torch_presence import (
    INSTALL,
    can_run,
    computes_on_gpu,
    overflow_note,
    refuse_what_cannot_run,
    weight_bytes,
    why_not,
)
from gateway.errors import ArtifactError, ConfigurationError
from gateway.settings import Settings, load_settings
from gateway.telemetry.logging import configure_logging
from gateway.triton.embedded import installed_server
from gateway.triton.embedded.background import BackgroundTriton
from gateway.triton.embedded.python_models import PythonModelSettings
from gateway.triton.embedded.side_by_side import calls_side_by_side
from gateway.triton.embedded.supervisor import EmbeddedTriton, Progress
from gateway.types import Precision

if TYPE_CHECKING:
    from gateway.app import GatewayApp


def _port(purpose: str, field: str) -> OptionInfo:
    """The option of a port that is taken from a setting where it is not given."""
    found: OptionInfo = typer.Option(metavar=PORT, help=f"{purpose} {default_of(field)}", min=1, max=65535)
    return found


PortOption = Annotated[int | None, _port("Port of the gateway", "port")]
GrpcPortOption = Annotated[int | None, _port("Triton's gRPC port", "triton_grpc_port")]
HttpPortOption = Annotated[int | None, _port("Triton's HTTP port", "triton_http_port")]
MetricsPortOption = Annotated[int | None, _port("Triton's metrics port", "triton_metrics_port")]
HostOption = Annotated[
    str | None, typer.Option(metavar="ADDRESS", help=f"Address the gateway listens on {default_of('host')}")
]
PrecisionOption = Annotated[
    Precision | None,
    typer.Option(help=f"exact, or fast: bfloat16 for models that prove themselves {default_of('precision')}"),
]
ModelOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME",
        help="Serve this model only; may be repeated. Also GATEWAY_MODELS, comma-separated (default: all that are "
        "installed)",
    ),
]

FIRST_MODEL = "all-MiniLM-L6-v2"

# What is left is for calls, the gateway and everything else.
MOST_OF_MEMORY = 0.75


class StopRequested(BaseException):
    """SIGINT or SIGTERM outside the HTTP server's own handling. No `Exception`, so that nothing on the way takes it."""


def up(
    host: HostOption = None,
    port: PortOption = None,
    grpc_port: GrpcPortOption = None,
    http_port: HttpPortOption = None,
    metrics_port: MetricsPortOption = None,
    auto_ports: Annotated[bool, typer.Option("--auto-ports", help="Take a free port for every taken one.")] = False,
    model: ModelOption = None,
    precision: PrecisionOption = None,
    model_repository: RepositoryOption = None,
) -> None:
    """Run Triton and the gateway on this machine until Ctrl-C."""
    settings = load_settings(
        host=host,
        port=port,
        triton_grpc_port=grpc_port,
        triton_http_port=http_port,
        triton_metrics_port=metrics_port,
        models=tuple(model) if model else None,
        precision=precision,
        model_repository=model_repository,
    )
    configure_logging(level=settings.log_level, log_format=settings.log_format)
    installed_server.located(settings.triton_home)
    with contextlib.suppress(StopRequested), stop_signals(), run_file.sole_run(settings.run_folder) as record:
        settings = chosen_ports(settings, auto=auto_ports)
        run(settings, record)


def run(settings: Settings, record: Path) -> None:
    """Triton first, then the gateway; backwards at the end, so that running requests still find their Triton."""
    cards = complete_cards(settings)
    names = tuple(card.name for card in cards)
    fast = chosen_fast_models(settings, cards)
    if settings.models and not settings.auto_pull:
        # Of a family the members that are there: the service waits for all models that it is told to serve.
        settings = settings.model_copy(update={"models": names})
    notes = (memory_note(cards, dtype=settings.dtype), overflow_note(cards, dtype=settings.dtype))
    for note in chain(left_out(settings), missing_members(settings, cards), *notes, fast.notes):
        sys.stdout.write(f"{note}\n")
    url = gateway_url(settings)
    run_file.write(record, url=url, ports=named_ports(settings), models=names)
    line = ProgressLine(sys.stdout)
    with BackgroundTriton(embedded_triton(settings, line, fast_models=fast.models)) as background:
        report = background.start(names, meanwhile=import_app)
        line.finish(report)
        has_keys = bool(settings.api_keys or settings.api_keys_file)
        served = served_models(settings, report.ready)
        block = ready_block(url, endpoints=report.endpoints, models=served, with_keys=has_keys)
        with announced(url, block, sys.stdout):
            run_server(settings, app_of(settings, fast_models=fast.models))


def import_app() -> None:
    """What `app_of` needs. It takes as long to import as all the rest: nobody waits for it while Triton loads its
    models, and a help or a refusal does without."""
    with postponed_stops():
        import_module("gateway.app")


def app_of(settings: Settings, *, fast_models: Sequence[str]) -> GatewayApp:
    # Here, as `import_app` says.
    from gateway.app import create_app

    with postponed_stops():
        return create_app(settings, calls_side_by_side=side_by_side(settings), fast_models=fast_models)


def embedded_triton(
    settings: Settings, on_progress: Callable[[Progress], None], *, fast_models: Sequence[str] = ()
) -> EmbeddedTriton:
    """The server that these settings describe, not started yet."""
    return EmbeddedTriton(
        repository=settings.model_repository,
        run_folder=settings.run_folder,
        ports=triton_ports(settings),
        on_progress=on_progress,
        home=settings.triton_home,
        python_models=PythonModelSettings(dtype=settings.dtype, gpu_memory_utilization=settings.gpu_memory_utilization),
        fast_models=fast_models,
    )


def side_by_side(settings: Settings) -> int | None:
    """How many calls of a graph the embedded Triton computes at once; None where it is one with backends of its own,
    which computes a call after the other on each instance."""
    return None if installed_server.located(settings.triton_home).own_backends else calls_side_by_side()


def complete_cards(settings: Settings) -> tuple[Card, ...]:
    """The Triton models to load: those asked for, else all whose files are there; of a family those of its members.

    Raises `ArtifactError` naming the command that fetches a model where one asked for, or every one, is incomplete, and
    `ConfigurationError` for one that needs torch where that is not installed. With GATEWAY_AUTO_PULL it may be none:
    they come when they are asked for.
    """
    registry = Registry.from_repository(settings.model_repository)
    if settings.models:
        asked = [_complete_of(cards_named(registry, name), settings) for name in settings.models]
        return tuple({card.name: card for cards in asked for card in cards}.values())
    whole = tuple(card for card in registry.cards if is_complete(card))
    found = tuple(filter(can_run, whole))
    if whole and not found and not settings.auto_pull:
        raise ConfigurationError(f"No model can be served. {why_not(whole[0])}", remedy=INSTALL)
    if not found and not settings.auto_pull:
        known = [model.name for model in registry.models]
        first = FIRST_MODEL if FIRST_MODEL in known else next(iter(known), FIRST_MODEL)
        raise ArtifactError("No model's files are complete yet.", remedy=f"gateway models pull {first}")
    return found


def _complete_of(cards: tuple[Card, ...], settings: Settings) -> tuple[Card, ...]:
    for card in cards:
        refuse_what_cannot_run(card)
    complete = tuple(card for card in cards if is_complete(card))
    if not complete and not settings.auto_pull:
        card, name = cards[0], cards[0].name if len(cards) == 1 else cards[0].family
        names = ", ".join(file.path for file in missing_files(card))
        raise ArtifactError(
            f"{card.name} cannot be served: missing, of the wrong size or not proved: {names}.",
            remedy=f"gateway models pull {name}",
        )
    return complete


def missing_members(settings: Settings, loaded: Sequence[Card]) -> Iterator[str]:
    """A line for each family of which not all members are loaded; none where a member alone was asked for."""
    names, registry = {card.name for card in loaded}, Registry.from_repository(settings.model_repository)
    asked = [{card.name for card in registry.cards_of(name)} for name in settings.models]
    for model in registry.models:
        if asked and {card.name for card in model.cards} not in asked:
            continue
        absent = [card.name for card in model.cards if card.name not in names]
        if 0 < len(absent) < len(model.cards):
            yield f"{model.name} is served in part; not installed: {', '.join(absent)} (gateway models pull NAME)"


def left_out(settings: Settings) -> Iterator[str]:
    """A line for each model that is here and was not asked for by name, and needs torch, which is not installed."""
    if settings.models:
        return
    for card in Registry.from_repository(settings.model_repository).cards:
        if not can_run(card) and is_complete(card):
            yield f"{card.name} is not served: it needs torch, which is not installed ({INSTALL})"


def memory_note(loaded: Sequence[Card], *, dtype: str | None = None) -> Iterator[str]:
    """A line where the weights alone, each held once, are most of the memory that is free. What a GPU holds is its own
    matter."""
    on_gpu = computes_on_gpu()
    held = [card for card in loaded if card.triton.has_graph or not on_gpu]
    weights = sum(weight_bytes(card, dtype=dtype) for card in held)
    available = psutil.virtual_memory().available
    if weights > available * MOST_OF_MEMORY:
        smaller = "pull a smaller precision with --variant"
        if any(not card.triton.has_graph for card in held):
            smaller += ", or set GATEWAY_DTYPE=bfloat16"
        yield (
            f"These models' weights have {weights / 1e9:.1f} GB and are held in memory, once each, of which "
            f"{available / 1e9:.1f} GB are free. Serve fewer with --model NAME, or {smaller}."
        )


def served_models(settings: Settings, loaded: Sequence[str]) -> tuple[Model, ...]:
    """What callers name of what Triton has loaded: a family is one model, whichever of its members are there."""
    models = Registry.from_repository(settings.model_repository).models
    return tuple(model for model in models if any(card.name in loaded for card in model.cards))


def gateway_url(settings: Settings) -> str:
    """Where the gateway is reached from this machine."""
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(settings.host, settings.host)
    return f"http://{host}:{settings.port}"


def named_ports(settings: Settings) -> dict[str, int]:
    ports = triton_ports(settings)
    return {"gateway": settings.port, "grpc": ports.grpc, "http": ports.http, "metrics": ports.metrics}


@contextlib.contextmanager
def stop_signals() -> Iterator[None]:
    """Turn SIGINT and SIGTERM into `StopRequested` while the HTTP server is not there to take them.

    A terminal that is closed is a stop as well, at any time.
    """
    before = {number: signal.signal(number, raise_stop) for number in (signal.SIGINT, signal.SIGTERM)}
    if sys.platform != "win32":
        before[signal.SIGHUP] = signal.signal(signal.SIGHUP, terminate_instead)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def terminate_instead(_number: int, _frame: FrameType | None) -> None:
    signal.raise_signal(signal.SIGTERM)


def raise_stop(_number: int, _frame: FrameType | None) -> NoReturn:
    raise StopRequested
