"""`gateway bench` as people run it: what it writes, when it is void, and how it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import jsonschema
import psutil
import pytest
from typer.testing import CliRunner

from gateway.bench.measurement import Generator
from gateway.bench.model_rows import benchable_card
from gateway.bench.staging import Cast
from gateway.bench.workloads import USUAL, Workload
from gateway.cards.registry import Registry
from gateway.cli import build_command
from gateway.cli.bench import asked_plan, every_stop_as_ctrl_c, started_with
from gateway.cli.bench_options import keys_of, pairs, prepare_files, variants
from gateway.errors import ConfigurationError
from gateway.types import Precision
from tests.conftest import REPOSITORY, ServedTriton, missing_bundled_model, need

SCHEMA = json.loads((REPOSITORY.parent / "benchmarks/result.schema.json").read_text())
SHORT = ("--quick", "--repeats", "1", "--seconds", "0.1")


def command(*options: str) -> list[str]:
    return [sys.executable, "-m", "gateway", "bench", "--model-repository", str(REPOSITORY), *options]


def bench(*options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*SHORT, *options),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "COLUMNS": "200", **environment},
    )


@pytest.mark.triton
def test_a_run_beside_another_server_prints_and_writes_everything(
    embedded_triton: ServedTriton, gateway_url: str, tmp_path: Path
) -> None:
    options = ["--url", gateway_url, "--triton", embedded_triton.grpc, "--workload", "single", "--workload", "poisson"]
    others = ["--against", f"rival={gateway_url}/v1", "--model-of", "rival=all-MiniLM-L6-v2", "--key-of", "rival=A_KEY"]
    files = ["--json", str(tmp_path / "new" / "out.json"), "--html", str(tmp_path / "out.html")]
    result = bench(*options, *others, *files, A_KEY="a-secret")
    assert result.returncode == 0, result.stdout + result.stderr
    written: dict[str, Any] = json.loads((tmp_path / "new" / "out.json").read_text())
    jsonschema.validate(written, SCHEMA)
    assert written["void"] is None
    assert [one["name"] for one in written["participants"]] == ["ceiling", "grpc", "gateway", "rival"]
    seen = {(one["workload"], one["contender"]) for one in written["figures"]}
    assert {("single", "ceiling"), ("single", "grpc"), ("poisson-95", "gateway"), ("poisson-50", "rival")} <= seen
    assert {one["load_generator"] for one in written["figures"]} <= {one.value for one in Generator}
    page = (tmp_path / "out.html").read_text()
    assert "<svg" in page
    for text in (result.stdout, page):
        assert "poisson-95" in text
        assert "rival" in text
        assert "load before" in text
        assert "nothing to quote" in text
    assert "a-secret" not in result.stdout + result.stderr + page + json.dumps(written)


@pytest.mark.triton
def test_vectors_that_differ_make_the_run_void(embedded_triton: ServedTriton, gateway_url: str, tmp_path: Path) -> None:
    """No two ways to the same vector agree to the last bit, so a tolerance of nothing finds a difference."""
    out = tmp_path / "out.json"
    result = bench("--url", gateway_url, "--workload", "single", "--tolerance", "0", "--json", str(out))
    assert result.returncode == 1
    assert "VOID: vectors of gateway differ from the in-process ones by" in result.stdout
    written = json.loads(out.read_text())
    jsonschema.validate(written, SCHEMA)
    assert "gateway" in written["void"]
    assert written["figures"] == []


def below(pid: int) -> list[psutil.Process]:
    return psutil.Process(pid).children(recursive=True)


@pytest.mark.triton
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_stop_ends_the_stack_that_was_started(tritonserver: None, tmp_path: Path, number: signal.Signals) -> None:
    need(missing_bundled_model())
    with (tmp_path / "output").open("w") as output:
        # Whoever runs the tests in the background hands on that Ctrl-C is not to be heard.
        process = subprocess.Popen(
            command("--json", str(tmp_path / "out.json")),
            stdout=output,
            stderr=output,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )
    try:
        started = _until_triton_runs(process)
        process.send_signal(number)
        assert process.wait(30) == (-number if number is signal.SIGKILL else 130)
    finally:
        process.kill()
        process.wait()
    said = (tmp_path / "output").read_text()
    assert ("Stopped. What was started has ended" in said) is (number is not signal.SIGKILL)
    assert "Traceback" not in said
    gone, alive = psutil.wait_procs(started, timeout=20)
    assert alive == []
    assert gone


def test_a_run_in_the_background_ends_when_it_is_told_to() -> None:
    """What a shell starts with `&` in a script ignores Ctrl-C."""

    def stopped() -> None:
        with every_stop_as_ctrl_c():
            signal.raise_signal(signal.SIGTERM)

    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with pytest.raises(KeyboardInterrupt):
            stopped()
    finally:
        signal.signal(signal.SIGINT, before)


def _until_triton_runs(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    end = time.monotonic() + 60
    while time.monotonic() < end and process.poll() is None:
        found = below(process.pid)
        if any("tritonserver" in (one.name() if one.is_running() else "") for one in found):
            return found
        time.sleep(0.05)
    raise AssertionError("Triton was not started")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--against", "http://h"], "Write --against NAME=URL."),
        (["--against", "gateway=http://h"], "cannot be called gateway"),
        (["--against", "a=nonsense"], "no URL of a server"),
        (["--key-of", "a=NO_SUCH_VARIABLE"], "NO_SUCH_VARIABLE"),
        (["--model-of", "a=m"], "no server called a"),
        (["--against", "gateway-fast=http://h"], "cannot be called gateway-fast"),
        (["--variant", "fast"], "Write --variant NAME=GATEWAY_SETTING=VALUE."),
        (["--variant", "fast=PATH=x"], "Write --variant NAME=GATEWAY_SETTING=VALUE."),
        (["--model", "no-such-model"], "gateway models list"),
        (["--json", "/proc/nothing/here.json"], "cannot be written"),
    ],
)
def test_a_mistake_is_told_before_anything_starts(options: list[str], said: str) -> None:
    result = bench(*options)
    assert result.returncode == 1
    assert said in result.stderr
    assert "Traceback" not in result.stderr


def test_an_unknown_workload_is_wrong_usage() -> None:
    assert bench("--workload", "spam").returncode == 2


def test_the_help_describes_every_workload() -> None:
    shown = CliRunner().invoke(build_command(), ["bench", "--help"], env={"COLUMNS": "200"}).stdout
    for workload in Workload:
        assert f" {workload.value}: " in shown


def test_what_is_asked_for_goes_before_quick() -> None:
    plan = asked_plan([Workload.BULK, Workload.BULK], repeats=3, seconds=None, quick=True, limit_seconds=60)
    assert plan.workloads == (Workload.BULK,)
    assert (plan.repeats, plan.seconds) == (3, 1.0)
    full = asked_plan(None, repeats=None, seconds=None, quick=False, limit_seconds=60)
    assert (full.workloads, full.repeats, full.seconds) == (USUAL, 5, 4.0)


def test_values_by_name() -> None:
    assert pairs(["a=b=c", "d=e"], option="--x", value="V") == {"a": "b=c", "d": "e"}
    assert pairs(None, option="--x", value="V") == {}
    for wrong in (["a"], ["=b"], ["a="], ["a=1", "a=2"]):
        with pytest.raises(ConfigurationError):
            pairs(wrong, option="--x", value="V")


def test_keys_come_from_the_environment() -> None:
    assert keys_of({"a": "A_KEY"}, {"A_KEY": "k"}) == {"a": "k"}
    with pytest.raises(ConfigurationError, match="A_KEY"):
        keys_of({"a": "A_KEY"}, {"A_KEY": ""})


def test_files_are_made_sure_of_and_not_emptied(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.write_text("content")
    prepare_files([None, kept, tmp_path / "new" / "file"])
    assert kept.read_text() == "content"
    assert list((tmp_path / "new").iterdir()) == []


def test_settings_of_one_variant_are_collected_and_values_may_hold_signs() -> None:
    assert variants(["a=GATEWAY_X=1", "b=GATEWAY_Y=k=v", "a=GATEWAY_Z="]) == {
        "a": {"GATEWAY_X": "1", "GATEWAY_Z": ""},
        "b": {"GATEWAY_Y": "k=v"},
    }


def test_a_stack_is_started_with_what_options_and_workloads_need_and_what_is_asked_for_wins() -> None:
    around = {"GATEWAY_PRECISION": "exact", "GATEWAY_MAX_QUEUED_TOKENS": "5", "PATH": "x", "GATEWAY_API_KEYS": "secret"}
    plan = asked_plan([Workload.SOAK], repeats=1, seconds=None, quick=True, limit_seconds=60)
    found = started_with(plan, Precision.FAST, around)
    assert found["GATEWAY_PRECISION"] == "fast"
    assert found["GATEWAY_MAX_QUEUED_TOKENS"] == "5"
    assert found["GATEWAY_REQUEST_TIMEOUT_SECONDS"] == "900"
    assert "secret" not in found.values()
    plain = asked_plan(None, repeats=1, seconds=None, quick=True, limit_seconds=60)
    assert started_with(plain, None, {}) == {}
    assert not {Workload.SCALING, Workload.SOAK} & set(plain.workloads)


def test_the_direct_calls_of_a_fast_gateway_are_fast_too_and_variants_say_it_for_themselves() -> None:
    card = benchable_card(Registry.from_repository(REPOSITORY), "all-MiniLM-L6-v2")
    beside = {"fast": {"GATEWAY_PRECISION": "fast"}, "cached": {"GATEWAY_CACHE": "on"}}
    assert Cast(card, REPOSITORY, variants=beside).fast == {"gateway-fast"}
    assert Cast(card, REPOSITORY, settings={"GATEWAY_PRECISION": "fast"}).fast == {"gateway", "grpc"}
    assert Cast(card, REPOSITORY, url="http://h", is_fast=True).fast == {"gateway", "grpc"}
