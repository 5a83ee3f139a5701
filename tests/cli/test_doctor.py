"""`gateway doctor`: sound machines pass, each fault is named with what mends it."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from gateway.cli import build_command, health_checks, run_file
from gateway.cli.doctor import as_lines
from gateway.cli.health_checks import check_disk, check_shared_memory, model_checks, port_checks
from gateway.settings import load_settings
from gateway.triton.embedded import distribution
from gateway.triton.embedded.ports import pick_free

CARD = Path(__file__).parent.parent.parent / "model_repository" / "all-MiniLM-L6-v2" / "card.toml"


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """One known model whose files are not there."""
    folder = tmp_path / "models" / "all-MiniLM-L6-v2"
    folder.mkdir(parents=True)
    (folder / "card.toml").write_bytes(CARD.read_bytes())
    return folder.parent


def doctor(repository: Path, *options: str) -> Result:
    names = ("GATEWAY_PORT", "GATEWAY_TRITON_GRPC_PORT", "GATEWAY_TRITON_HTTP_PORT", "GATEWAY_TRITON_METRICS_PORT")
    ports = dict(zip(names, map(str, pick_free(4)), strict=True))
    environment = {**ports, "GATEWAY_MODEL_REPOSITORY": str(repository), "GATEWAY_RUN_FOLDER": str(repository / "run")}
    return CliRunner().invoke(build_command(), ["doctor", *options], env=environment)


def test_an_incomplete_model_is_a_fault_with_its_command(repository: Path) -> None:
    answer = doctor(repository)
    assert answer.exit_code == 1
    assert "-> gateway models pull all-MiniLM-L6-v2" in answer.stdout


def test_what_is_not_there_at_all_is_told_apart_from_what_is_there_in_part(repository: Path) -> None:
    settings = load_settings(model_repository=repository)
    assert [check.finding for check in model_checks(settings)] == ["not installed"]
    (repository / "all-MiniLM-L6-v2/1").mkdir()
    (repository / "all-MiniLM-L6-v2/1/tokenizer.json").write_text("{}")
    assert [check.finding for check in model_checks(settings)] == ["files not complete"]


def test_what_need_not_be_mended_is_one_line() -> None:
    offer = health_checks.Check("model x", ok=True, finding="not installed", remedy="gateway models pull x")
    assert as_lines([offer]) == "ok     model x  not installed (gateway models pull x)"


def test_json_holds_every_check(repository: Path) -> None:
    answer = doctor(repository, "--json")
    document = json.loads(answer.stdout)
    assert document["ok"] is False
    checks = {check["name"]: check for check in document["checks"]}
    assert checks["model all-MiniLM-L6-v2"]["remedy"] == "gateway models pull all-MiniLM-L6-v2"
    expected = {"disk", "memory", "/dev/shm", "platform", "Python", "glibc", "libpython", "NumPy", "tritonserver"}
    assert expected <= set(checks)
    assert sum(name.startswith("port ") for name in checks) == 4


def test_one_complete_model_is_enough(repository: Path, monkeypatch: pytest.MonkeyPatch, tritonserver: None) -> None:
    other = repository / "other"
    other.mkdir()
    (other / "card.toml").write_text(
        CARD.read_text().replace("all-MiniLM-L6-v2", "other").replace("all-minilm", "other")
    )
    monkeypatch.setattr(health_checks, "is_complete", lambda card: card.name == "other")
    checks = model_checks(load_settings(model_repository=repository))
    assert [(check.name, check.ok, check.remedy) for check in checks] == [
        ("model all-MiniLM-L6-v2", True, "gateway models pull all-MiniLM-L6-v2"),
        ("model other", True, None),
    ]
    assert doctor(repository).exit_code == 0


def test_a_repository_that_is_not_there_is_a_fault(tmp_path: Path) -> None:
    (check,) = model_checks(load_settings(model_repository=tmp_path / "nowhere"))
    assert not check.ok
    assert "does not exist" in check.finding


def test_a_taken_port_is_a_fault_unless_our_own_gateway_holds_it(tmp_path: Path) -> None:
    gateway, grpc, http, metrics = pick_free(4)
    settings = load_settings(
        port=gateway, triton_grpc_port=grpc, triton_http_port=http, triton_metrics_port=metrics, run_folder=tmp_path
    )
    with socket.create_server(("127.0.0.1", grpc)):
        faults = [check for check in port_checks(settings) if not check.ok]
        assert [check.name for check in faults] == [f"port {grpc}"]
        assert f"process {os.getpid()}" in faults[0].finding
        assert "--grpc-port" in (faults[0].remedy or "")
        run_file.write(tmp_path / "up.json", url="http://127.0.0.1", ports={"grpc": grpc}, models=())
        assert all(check.ok for check in port_checks(settings))


def test_too_little_space_is_a_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert check_disk(tmp_path / "not" / "there").ok
    monkeypatch.setattr(health_checks, "LEAST_DISK_MIB", 10**12)
    monkeypatch.setattr(health_checks, "LEAST_SHARED_MEMORY_MIB", 10**12)
    assert not check_disk(tmp_path).ok
    assert "--shm-size" in (check_shared_memory().remedy or "")


def test_a_missing_libpython_is_a_fault_with_its_package(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ctypes.util.find_library", lambda name: None)
    monkeypatch.setattr("sysconfig.get_config_var", lambda name: str(repository))
    monkeypatch.setattr(distribution.sys, "base_prefix", str(repository))
    assert "-> sudo apt-get install libpython3." in doctor(repository).stdout


def test_a_triton_that_is_installed_apart_is_looked_at_instead_of_the_wheels(tmp_path: Path) -> None:
    (check,) = health_checks.embedded_checks(tmp_path)
    assert not check.ok
    assert f"GATEWAY_TRITON_HOME names {tmp_path}" in check.finding
    assert "/opt/tritonserver" in (check.remedy or "")
