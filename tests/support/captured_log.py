"""The gateway's log in a string, set up as the server does it and taken down again without a trace."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import structlog

from gateway.telemetry.logging import configure_logging

# Clients that tests use in this process write request lines of their own; a gateway's process holds no such client.
_CLIENT_LOGGERS = ("httpx", "httpx2", "httpcore", "httpcore2", "openai")


@contextmanager
def captured_log(*, level: str = "debug", log_format: Literal["console", "json"] = "json") -> Iterator[io.StringIO]:
    stream = io.StringIO()
    root = logging.getLogger()
    handlers, root_level = root.handlers, root.level
    clients = {name: logging.getLogger(name).level for name in _CLIENT_LOGGERS}
    configured = structlog.get_config()
    configure_logging(level=level, log_format=log_format, stream=stream)
    for name in clients:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        yield stream
    finally:
        structlog.configure(**configured)
        root.handlers, root.level = handlers, root_level
        for name, client_level in clients.items():
            logging.getLogger(name).setLevel(client_level)
