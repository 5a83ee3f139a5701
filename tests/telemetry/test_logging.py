"""One pipeline for every logger; an exception is told by type and place, never by message."""

from __future__ import annotations

import asyncio
import io
import json
import logging
from contextvars import copy_context

import structlog

from gateway.telemetry.logging import configure_logging
from gateway.telemetry.requests import RequestRecord, attach_record
from tests.support.captured_log import captured_log

SECRET = "secret-5f0d"


def fail() -> None:
    raise ValueError(SECRET)


def test_lines_are_json_with_level_logger_and_time() -> None:
    with captured_log() as log:
        structlog.get_logger("gateway.some").info("happened", count=3)
    line = json.loads(log.getvalue())
    assert line.pop("timestamp").endswith("Z")
    assert line == {"event": "happened", "count": 3, "level": "info", "logger": "gateway.some"}


def test_standard_library_lines_look_the_same() -> None:
    with captured_log() as log:
        logging.getLogger("uvicorn.error").warning("port %d", 8000)
    line = json.loads(log.getvalue())
    assert (line["event"], line["level"], line["logger"]) == ("port 8000", "warning", "uvicorn.error")


def test_extra_facts_of_standard_library_lines_are_kept() -> None:
    with captured_log() as log:
        logging.getLogger("uvicorn.error").warning("served", extra={"model": "tiny", "color_message": "bright"})
    line = json.loads(log.getvalue())
    assert line["model"] == "tiny"
    assert "color_message" not in line


def test_levels_below_the_chosen_one_are_left_out() -> None:
    with captured_log(level="warning") as log:
        structlog.get_logger("a").info("quiet")
        logging.getLogger("b").info("quiet")
        structlog.get_logger("a").warning("loud")
        logging.getLogger("b").warning("loud")
    assert [json.loads(line)["event"] for line in log.getvalue().splitlines()] == ["loud", "loud"]


def test_exceptions_are_told_by_type_and_place() -> None:
    with captured_log() as log:
        for logger in (structlog.get_logger("a"), logging.getLogger("b")):
            try:
                fail()
            except ValueError:
                logger.exception("failed")
    assert SECRET not in log.getvalue()
    for line in map(json.loads, log.getvalue().splitlines()):
        assert (line["exception"], line["level"]) == ("ValueError", "error")
        assert any(place.startswith("test_logging.py:") and place.endswith(" fail") for place in line["raised_at"])


def test_what_stands_below_the_first_line_is_left_out() -> None:
    with captured_log() as log:
        logging.getLogger("asyncio").error("Task exception was never retrieved\nfuture: <Task exception=%s>", SECRET)
    assert json.loads(log.getvalue())["event"] == "Task exception was never retrieved"


def test_asyncio_reports_a_lost_exception_without_its_message() -> None:
    with captured_log(level="info") as log:
        loop = asyncio.new_event_loop()
        loop.call_exception_handler({"message": "lost", "exception": ValueError(SECRET)})
        loop.close()
    assert SECRET not in log.getvalue()
    assert json.loads(log.getvalue())["exception"] == "ValueError"


def test_objects_json_cannot_hold_are_named_by_type() -> None:
    class Holder:
        def __repr__(self) -> str:
            return SECRET

    with captured_log() as log:
        structlog.get_logger("a").info("odd", value=Holder())
    assert json.loads(log.getvalue())["value"] == "Holder"


def test_console_lines_are_for_people() -> None:
    with captured_log(log_format="console") as log:
        structlog.get_logger("a").info("happened", count=3)
    assert "happened" in log.getvalue()
    assert "count=3" in log.getvalue()


def test_context_of_the_request_is_on_the_line() -> None:
    def happen() -> None:
        attach_record({}, RequestRecord(request_id="abc"))
        structlog.get_logger("a").info("happened")
        logging.getLogger("b").info("happened")

    with captured_log() as log:
        copy_context().run(happen)
    assert [json.loads(line)["request_id"] for line in log.getvalue().splitlines()] == ["abc", "abc"]


def test_http_clients_keep_their_exchanges_to_themselves() -> None:
    lines = io.StringIO()
    with captured_log():
        configure_logging(level="info", log_format="json", stream=lines)
        logging.getLogger("httpx").info("an exchange")
        logging.getLogger("httpx").warning("something worth reading")
    assert [json.loads(line)["event"] for line in lines.getvalue().splitlines()] == ["something worth reading"]
