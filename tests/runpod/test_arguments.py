"""The runpod package's arguments: checked, and handed on as it reads them."""

from __future__ import annotations

from pathlib import Path

import pytest
from runpod.serverless import parser

from gateway.errors import ConfigurationError
from gateway.runpod.arguments import JOB_SOURCE, REALTIME_PORT, Arguments, LogLevel, job_to_run

JOB = '{"input": {"input": "a"}}'


def read_by_the_package(arguments: Arguments, **environment: str) -> dict[str, object]:
    known, unknown = parser.parse_known_args(arguments.as_words(environment))
    assert unknown == []
    return vars(known)


def test_the_package_reads_what_was_given() -> None:
    given = Arguments(serve_api=True, api_host="0.0.0.0", api_port=81, log_level=LogLevel.DEBUG, debugger=True)
    assert read_by_the_package(given) == {
        "rp_log_level": "DEBUG", "rp_debugger": True, "rp_serve_api": True, "rp_api_port": 81, "rp_api_concurrency": 1,
        "rp_api_host": "0.0.0.0", "test_input": None,
    }  # fmt: skip


def test_a_job_is_handed_on_as_it_is() -> None:
    # It may begin with what looks like an option of another program, or hold quotes and new lines.
    assert read_by_the_package(Arguments(test_input=' {"input":\n{"input": "--x \'"}}'))["test_input"] == (
        ' {"input":\n{"input": "--x \'"}}'
    )


@pytest.mark.parametrize(
    ("arguments", "environment", "level"),
    [
        (Arguments(), {}, "INFO"),
        (Arguments(test_input=JOB), {}, "WARN"),
        (Arguments(), {"RUNPOD_LOG_LEVEL": "ERROR"}, None),
        (Arguments(), {"RUNPOD_DEBUG_LEVEL": "DEBUG"}, None),
        (Arguments(log_level=LogLevel.ERROR), {"RUNPOD_LOG_LEVEL": "DEBUG"}, "ERROR"),
    ],
)
def test_the_packages_log_holds_no_inputs_unless_asked(
    arguments: Arguments, environment: dict[str, str], level: str | None
) -> None:
    assert read_by_the_package(arguments, **environment)["rp_log_level"] == level


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_job_given_comes_before_the_files(folder: Path) -> None:
    (folder / "test_input.json").write_text('{"input": 2}')
    assert job_to_run(JOB, serves=True, environment={JOB_SOURCE: "x"}) == JOB
    assert job_to_run(None, serves=False, environment={}) == '{"input": 2}'


@pytest.mark.parametrize(
    ("serves", "environment"), [(True, {}), (False, {JOB_SOURCE: "x"}), (False, {REALTIME_PORT: "1"})]
)
def test_a_worker_with_other_jobs_does_not_read_the_file(
    folder: Path, serves: bool, environment: dict[str, str]
) -> None:
    (folder / "test_input.json").write_text("no json")
    assert job_to_run(None, serves=serves, environment=environment) is None


def test_a_file_that_is_no_text_is_refused(folder: Path) -> None:
    (folder / "test_input.json").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigurationError, match=r"test_input\.json cannot be read"):
        job_to_run(None, serves=False, environment={})


@pytest.mark.parametrize("text", ["", "{", "[]", "5", "{}", '{"input": null}', '"SECRET"'])
def test_what_is_no_job_is_refused_without_being_repeated(text: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        job_to_run(text, serves=False, environment={})
    assert refused.value.code == "invalid_test_input"
    assert "SECRET" not in refused.value.message
