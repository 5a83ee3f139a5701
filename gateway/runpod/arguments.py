"""The runpod package's own arguments, checked here so that a mistake is told in words and before a model is loaded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import orjson

from gateway.errors import ConfigurationError

TEST_FILE = Path("test_input.json")
JOB_SOURCE = "RUNPOD_WEBHOOK_GET_JOB"
REALTIME_PORT = "RUNPOD_REALTIME_PORT"
LEVEL_VARIABLES = ("RUNPOD_LOG_LEVEL", "RUNPOD_DEBUG_LEVEL")


class LogLevel(Enum):
    """The runpod package's own; at DEBUG it writes inputs and answers to the log."""

    ERROR = "ERROR"
    WARN = "WARN"
    INFO = "INFO"
    DEBUG = "DEBUG"


@dataclass(frozen=True, slots=True)
class Arguments:
    """`test_input` is a job in JSON. With `serve_api` its local server answers jobs; without either, the platform's
    jobs are taken."""

    test_input: str | None = None
    serve_api: bool = False
    api_host: str = "localhost"
    api_port: int = 8000
    log_level: LogLevel | None = None
    debugger: bool = False

    @property
    def is_test(self) -> bool:
        return self.test_input is not None

    def as_words(self, environment: Mapping[str, str]) -> list[str]:
        """A command line for the runpod package. Of itself it would log every input."""
        level = self.log_level
        if level is None and not any(environment.get(name) for name in LEVEL_VARIABLES):
            level = LogLevel.WARN if self.is_test else LogLevel.INFO
        words = ["--rp_log_level", level.value] if level else []
        words += ["--rp_debugger"] if self.debugger else []
        words += ["--test_input", self.test_input] if self.test_input is not None else []
        if self.serve_api:
            words += ["--rp_serve_api", "--rp_api_host", self.api_host, "--rp_api_port", str(self.api_port)]
        return words


def job_to_run(given: str | None, *, serves: bool, environment: Mapping[str, str]) -> str | None:
    """The job to run once: the one given, else, where there is nobody to take jobs from, that of `test_input.json`.

    Raises `ConfigurationError` where it is no job, or where there is nothing to do at all.
    """
    if given is not None:
        return _checked(given, where="--test_input")
    if serves or environment.get(JOB_SOURCE) or environment.get(REALTIME_PORT):
        return None
    try:
        text = TEST_FILE.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigurationError(
            "There is nothing to do: this is no RunPod worker, and no test was asked for.",
            remedy='Give --test_input \'{"input": {"input": ["Hello world"]}}\' for one answer, or --rp_serve_api for '
            "a local server.",
            code="no_job_source",
        ) from None
    except (OSError, UnicodeDecodeError):
        raise ConfigurationError(f"{TEST_FILE} cannot be read.", remedy="It has to be a UTF-8 file.") from None
    return _checked(text, where=str(TEST_FILE))


def _checked(text: str, *, where: str) -> str:
    try:
        job: Any = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise _no_job(f"{where} is not valid JSON; the first fault is at character {error.pos}.") from None
    if not isinstance(job, dict) or job.get("input") is None:
        raise _no_job(f'{where} has to be a JSON object with the key "input".')
    return text


def _no_job(message: str) -> ConfigurationError:
    return ConfigurationError(
        message, remedy='For example: {"input": {"input": ["Hello world"]}}', code="invalid_test_input"
    )
