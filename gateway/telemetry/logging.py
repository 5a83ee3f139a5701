"""Log lines for people or for machines, through one pipeline: structlog's, the standard library's and uvicorn's.

What must never be logged (inputs, vectors, keys) is kept out by construction: callers pass counts and codes, and an
exception is written as its type and the places it came through, because its message may quote the data that broke it.
"""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import Sequence
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Literal, TextIO

import orjson
import structlog
from structlog.types import EventDict, Processor, WrappedLogger

from gateway.telemetry.requests import current_request_id

LogFormat = Literal["auto", "console", "json"]

# At level info they tell of every probe's HTTP exchange, and in six lines that a server starts and stops.
_CHATTY_LIBRARIES = ("httpx", "httpcore", "uvicorn")

_ExceptionInfo = tuple[type[BaseException], BaseException, TracebackType | None]


def configure_logging(*, level: str, log_format: LogFormat = "auto", stream: TextIO | None = None) -> None:
    """Write every logger's lines of this process to `stream` (standard error) at `level` and above.

    `auto` means console lines on a terminal and JSON lines elsewhere. Calling it again replaces the earlier setup.
    """
    target = stream if stream is not None else sys.stderr
    as_json = log_format == "json" or (log_format == "auto" and not target.isatty())
    renderer = _json_renderer() if as_json else structlog.dev.ConsoleRenderer(colors=target.isatty())
    processors: Sequence[Processor] = (
        _say_for_what_by_whom_and_when,
        _describe_exception,
        _first_line_only,
    )
    # Straight to the stream: the way through the standard library costs 50 us more a line, which is more than a
    # short request costs without it.
    structlog.configure(
        processors=[*processors, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level.upper())),
        logger_factory=lambda *names: _NamedWriter(target, name=".".join(names)),
        cache_logger_on_first_use=False,
    )
    _route_standard_library(processors, renderer, level=level, stream=target)


class _NamedWriter(structlog.WriteLogger):
    """Writes finished lines; carries the name that `structlog.get_logger(name)` was asked for."""

    def __init__(self, stream: TextIO, *, name: str) -> None:
        super().__init__(stream)
        self.name = name


def _json_renderer() -> Processor:
    def render(_logger: WrappedLogger, _method: str, event: EventDict) -> str:
        return orjson.dumps(event, default=_type_name).decode()

    return render


def _say_for_what_by_whom_and_when(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    """One step for what structlog has four for, and they a dozen calls: a line is written for every request."""
    request_id = current_request_id()
    if request_id is not None:
        event.setdefault("request_id", request_id)
    event["level"] = method
    event["logger"] = (event.get("_record") or logger).name
    event["timestamp"] = datetime.now(UTC).isoformat().replace("+00:00", "Z")
    return event


def _drop_terminal_colours(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    event.pop("color_message", None)  # uvicorn's second copy of its message
    return event


def _type_name(value: object) -> str:
    return type(value).__name__  # not its `repr`, which may hold anything


def _route_standard_library(
    processors: Sequence[Processor], renderer: Processor, *, level: str, stream: TextIO
) -> None:
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.ExtraAdder(), _drop_terminal_colours, *processors],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
            use_get_message=True,
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logger = logging.getLogger(name)
        logger.handlers = []
        logger.propagate = True
    for name in _CHATTY_LIBRARIES:
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))


def _describe_exception(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    given = event.pop("exc_info", None)
    info = None if given is None else _exception_info(given)
    if info is not None:
        event["exception"] = info[0].__name__
        event["raised_at"] = [_place(frame) for frame in traceback.extract_tb(info[2])[-8:]]
    event.pop("stack_info", None)
    return event


def _exception_info(value: Any) -> _ExceptionInfo | None:
    if isinstance(value, BaseException):
        return type(value), value, value.__traceback__
    if isinstance(value, tuple) and value and value[0] is not None:
        return value
    if value:
        current = sys.exc_info()
        return current if current[0] is not None else None
    return None


def _place(frame: traceback.FrameSummary) -> str:
    return f"{frame.filename.rpartition('/')[2]}:{frame.lineno} {frame.name}"


def _first_line_only(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Keep a message's first line: what asyncio and uvicorn add below it is the `repr` of live objects."""
    text = event.get("event")
    if isinstance(text, str) and "\n" in text:
        event["event"] = text.partition("\n")[0]
    return event
