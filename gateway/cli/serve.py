"""`gateway serve`: the gateway alone, in front of a Triton that somebody else runs."""

from __future__ import annotations

import contextlib
import errno
import gc
import math
import socket
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Annotated

import structlog
import typer
import uvicorn
from starlette.types import ASGIApp

from gateway.cli.http_protocol import guarded_protocol
from gateway.cli.named_models import RepositoryOption
from gateway.cli.setting_help import PORT, default_of
from gateway.errors import SetupError
from gateway.settings import Settings, load_settings
from gateway.telemetry.logging import configure_logging
from gateway.triton.embedded.ports import holder_of

if TYPE_CHECKING:
    from gateway.app import GatewayApp

# Longer than common clients keep an idle connection, so that they close it and no request meets a closing one.
_KEEP_ALIVE_SECONDS = 75
_MAX_HEADER_BYTES = 32 * 1024
_BACKLOG = 2048


def serve(
    host: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help=f"Address to listen on {default_of('host')}")
    ] = None,
    port: Annotated[
        int | None, typer.Option(metavar=PORT, min=0, max=65535, help=f"Port to listen on {default_of('port')}")
    ] = None,
    triton_url: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help=f"Triton's gRPC endpoint {default_of('triton_url')}")
    ] = None,
    model_repository: RepositoryOption = None,
) -> None:
    """Run the gateway alone, against a Triton that runs elsewhere (TRITON_URL)."""
    settings = load_settings(host=host, port=port, triton_url=triton_url, model_repository=model_repository)
    # Here: it takes as long to import as all the rest, and neither the help nor a refused setting needs it.
    from gateway.app import create_app

    run_server(settings, create_app(settings))


def run_server(settings: Settings, app: GatewayApp) -> None:
    """Serve `app` on `settings.host:port` until SIGINT or SIGTERM, then finish running requests and return.

    Raises `SetupError` when the port is taken, naming the holder, or when the app cannot start with these settings.
    """
    configure_logging(level=settings.log_level, log_format=settings.log_format)
    with listener(settings.host, settings.port) as bound:
        try:
            server = build_server(settings, app)
            server.when_started = keep_what_is_loaded
            server.run(sockets=[bound])
        except SystemExit:  # uvicorn's way of telling that the app's lifespan did not start
            if app.startup_error is None:
                raise
            raise app.startup_error from None


class StoppableServer(uvicorn.Server):
    """uvicorn's server, except that it does not raise the stop signal again once it has stopped.

    What runs after it (stopping the embedded Triton) has to get its turn, and a wanted stop is no failure.
    """

    when_started: Callable[[], None] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.when_started is not None:
            self.when_started()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        with super().capture_signals():
            yield
            self._captured_signals.clear()


def build_server(settings: Settings, app: ASGIApp) -> StoppableServer:
    """uvicorn, set up for this edge; the caller gives it its listening sockets."""
    config = uvicorn.Config(
        app,
        http=guarded_protocol(
            header_timeout_seconds=settings.header_timeout_seconds,
            send_timeout_seconds=settings.send_timeout_seconds,
            max_header_bytes=_MAX_HEADER_BYTES,
        ),
        ws="none",
        loop="asyncio" if sys.platform == "win32" else "uvloop",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # nothing here looks at the client's address
        backlog=_BACKLOG,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=math.ceil(settings.drain_seconds),
    )
    return StoppableServer(config)


def keep_what_is_loaded() -> None:
    """Takes what this process has loaded by now out of the garbage collector's sight.

    A full collection goes through all of it, 160,000 objects in 100 ms, and with 64 short queries at a time one came
    every thousand: 85 us of each, and a pause for whoever asks meanwhile (AMD EPYC, busy, without a model, 2026-11).
    """
    gc.collect()
    gc.freeze()


@contextlib.contextmanager
def listener(host: str, port: int) -> Iterator[socket.socket]:
    """A socket bound to `host:port`, closed in the end. Raises `SetupError` naming who holds a taken port."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as bound:
        if sys.platform != "win32":
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            bound.bind((host, port))
            bound.listen(_BACKLOG)
        except OSError as error:
            raise _cannot_listen(host, port, error) from None
        address = bound.getsockname()
        structlog.get_logger("gateway.serve").info("listening", host=address[0], port=address[1])
        yield bound


def _cannot_listen(host: str, port: int, error: OSError) -> SetupError:
    if error.errno != errno.EADDRINUSE:
        return SetupError(
            f"The gateway cannot listen on {host}, port {port} ({error.strerror}).",
            remedy="Choose another address with --host or another port with --port.",
            code="cannot_listen",
        )
    return SetupError(
        f"Port {port} (gateway) is taken by {holder_of(port)}.",
        remedy="Stop that process, or choose another port with --port (GATEWAY_PORT).",
        code="port_taken",
    )
