"""Which process the scripts take for theirs, and what they count as left behind."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest

from tests.support.shell_scripts import ROOT, bash, record, start_ticks_of


def stack(run_folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-I", ROOT / "scripts/lib/stack.py", *arguments],
        cwd=run_folder,
        env={**os.environ, "GATEWAY_RUN_FOLDER": str(run_folder)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_stop_ends_the_recorded_process(tmp_path: Path, sleeper: subprocess.Popen[bytes]) -> None:
    record(tmp_path, pid=sleeper.pid, start_ticks=start_ticks_of(sleeper.pid))
    assert stack(tmp_path, "address").stdout == "http://127.0.0.1:9\n"
    result = stack(tmp_path, "stop")
    assert (result.returncode, result.stdout) == (0, "Stopped.\n")
    assert sleeper.wait(5) == -15


def test_stop_leaves_a_later_process_with_the_same_pid_alone(tmp_path: Path, sleeper: subprocess.Popen[bytes]) -> None:
    record(tmp_path, pid=sleeper.pid, start_ticks=start_ticks_of(sleeper.pid) - 1)
    assert stack(tmp_path, "address").returncode == 1
    result = stack(tmp_path, "stop")
    assert (result.returncode, result.stdout) == (0, "Nothing is running.\n")
    assert sleeper.poll() is None


@pytest.mark.parametrize("content", [None, "", "{", "[]", '{"pid": 1}', '{"pid": "x", "start_ticks": 1, "url": ""}'])
def test_no_record_or_a_damaged_one_means_nothing_runs(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "up.json").write_text(content)
    assert stack(tmp_path, "stop").stdout == "Nothing is running.\n"
    assert stack(tmp_path, "address").returncode == 1


def test_waiting_for_the_first_embedding_ends_with_the_process(tmp_path: Path) -> None:
    with subprocess.Popen(["true"]) as ended:
        ended.wait()
    result = stack(tmp_path, "first-embedding", "--process", str(ended.pid))
    assert result.returncode == 1
    assert result.stderr == "", "a process that ended has said why itself"


class Served(BaseHTTPRequestHandler):
    """A gateway that serves several models, so that a request has to name one."""

    models: ClassVar[list[dict[str, str]]] = []

    def do_GET(self) -> None:
        self.reply(200, {"data": self.models})

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        answer = {"model": asked.get("model"), "data": [{"embedding": [0.5, 0.25]}]}
        self.reply(200 if asked.get("model") else 400, answer)

    def reply(self, status: int, document: object) -> None:
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(document).encode())

    def log_message(self, *_: object) -> None: ...


def model(name: str, kind: str = "embedding") -> dict[str, str]:
    return {"id": name, "hub_id": f"someone/{name}", "kind": kind}


@pytest.mark.parametrize(
    ("served", "default", "printed"),
    [
        ([model("ranks", "reranker"), model("one"), model("two")], "", '"Hello, world" is 2 dimensions by one:'),
        ([model("one"), model("two")], "Someone/TWO", '"Hello, world" is 2 dimensions by two:'),
        ([model("ranks", "reranker")], "", "It serves ranks: no embedding to show."),
    ],
)
def test_the_first_embedding_names_a_model_that_gives_one(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    sleeper: subprocess.Popen[bytes],
    served: list[dict[str, str]],
    default: str,
    printed: str,
) -> None:
    monkeypatch.setenv("GATEWAY_DEFAULT_MODEL", default)
    handler = type("Handler", (Served,), {"models": served})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        content = {"pid": sleeper.pid, "start_ticks": start_ticks_of(sleeper.pid)}
        url = f"http://127.0.0.1:{server.server_address[1]}"
        (tmp_path / "up.json").write_text(json.dumps({**content, "url": url}))
        result = stack(tmp_path, "first-embedding", "--process", str(sleeper.pid))
        server.shutdown()
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith(printed)


def test_settings_come_from_dot_env_where_the_environment_is_silent(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("GATEWAY_RUN_FOLDER=elsewhere\nGATEWAY_MODELS= one,,two \n")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GATEWAY_")}
    command = [sys.executable, "-I", ROOT / "scripts/lib/stack.py", "settings"]
    result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    assert result.stdout.splitlines() == ["elsewhere", "model_repository", "vocabularies", "one", "two"]


def segment_of(pid: int, *, start_ticks: int = 1) -> Path:
    """A name as the warden with that pid would give, in a namespace where no real one sweeps it up."""
    return Path(f"/dev/shm/gateway-triton-1-{pid}-{start_ticks}-{uuid.uuid4()}")


def dead_process() -> int:
    with subprocess.Popen(["true"]) as process:
        process.wait()
    return process.pid


def test_a_segment_of_a_running_warden_is_not_left_behind(tmp_path: Path, sleeper: subprocess.Popen[bytes]) -> None:
    used = segment_of(sleeper.pid, start_ticks=start_ticks_of(sleeper.pid))
    orphan = segment_of(sleeper.pid, start_ticks=start_ticks_of(sleeper.pid) - 1)
    for segment in (used, orphan):
        segment.touch()
    listed = bash(tmp_path, "list_leftovers").stdout
    for segment in (used, orphan):
        segment.unlink(missing_ok=True)
    assert str(orphan) in listed
    assert str(used) not in listed


def test_a_segment_and_a_process_left_behind_are_named(tmp_path: Path) -> None:
    program = tmp_path / "tritonserver"
    shutil.copy(shutil.which("sleep") or "", program)
    segment = segment_of(dead_process())
    script = f"before=\"$(list_leftovers)\"; '{program}' 60 & sleep 0.2; touch '{segment}'"
    result = bash(tmp_path, f'{script}; no_new_leftovers "$before" || echo "failed"; kill %1')
    segment.unlink(missing_ok=True)
    assert "failed" in result.stdout
    assert str(segment) in result.stdout
    assert str(program) in result.stdout


def test_what_was_there_before_is_not_counted(tmp_path: Path) -> None:
    segment = segment_of(dead_process())
    segment.touch()
    result = bash(tmp_path, 'no_new_leftovers "$(list_leftovers)" || true')
    segment.unlink(missing_ok=True)
    assert str(segment) not in result.stdout
