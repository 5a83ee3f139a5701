"""Which process the scripts take for theirs, what they count as left behind, and when they install."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest

ROOT = Path(__file__).resolve().parents[2]
ASKED = ["models pull one", "models pull cl100k_base", "models verify --quiet one"]


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


def start_ticks_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sleep", "120"]) as process:
        yield process
        process.kill()


def record(run_folder: Path, *, pid: int, start_ticks: int) -> None:
    content = {"pid": pid, "start_ticks": start_ticks, "url": "http://127.0.0.1:9"}
    (run_folder / "up.json").write_text(json.dumps(content))


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


def bash(folder: Path, script: str) -> subprocess.CompletedProcess[str]:
    """Run a script that may use every function of scripts/lib, in `folder`."""
    loaded = "".join(f". '{path}'\n" for path in sorted((ROOT / "scripts/lib").glob("*.sh")))
    return subprocess.run(
        ["bash", "-c", f"set -euo pipefail\n{loaded}{script}"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


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


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder with an environment that counts as installed, whose pip only says what it was asked."""
    binaries = tmp_path / ".venv/bin"
    binaries.mkdir(parents=True)
    (binaries / "python").symlink_to(sys.executable)
    for name in ("gateway", "pip"):
        (binaries / name).write_text('#!/bin/sh\necho "$0 $*"\n')
        (binaries / name).chmod(0o755)
    (tmp_path / "pyproject.toml").write_text("[project]\n")
    bash(tmp_path, f"fingerprint '{sys.executable}' > .venv/.installed-embedded")
    return tmp_path


def install(checkout: Path, extras: str = "embedded", python: str = sys.executable) -> subprocess.CompletedProcess[str]:
    return bash(checkout, f"install_environment '{python}' {extras} '1 MB'")


def test_what_is_installed_is_not_installed_again(checkout: Path) -> None:
    assert install(checkout).stdout == ""


@pytest.mark.parametrize("change", ["pyproject", "extras", "gateway"])
def test_what_changed_is_installed_after_saying_how_much(checkout: Path, change: str) -> None:
    if change == "pyproject":
        (checkout / "pyproject.toml").write_text("[project]\ndependencies = []\n")
    if change == "gateway":
        (checkout / ".venv/bin/gateway").unlink()
    extras = "embedded,dev" if change == "extras" else "embedded"
    result = install(checkout, extras)
    assert result.returncode == 0, result.stderr
    announced, asked = result.stdout.splitlines()
    assert "about 1 MB to download" in announced
    assert asked.endswith(f"--editable .[{extras}]")
    if change != "gateway":
        assert install(checkout, extras).stdout == ""


def test_an_environment_that_was_moved_is_built_anew(checkout: Path) -> None:
    (checkout / ".venv/.made-in").write_text("/elsewhere\n")
    base = checkout / "base"
    make = "mkdir -p .venv/bin && cp pip .venv/bin"
    (checkout / "pip").write_text('#!/bin/sh\necho "$*"\n')
    answers = f'*_base_executable*) echo "{base}" ;; *venv*) {make} ;; *) echo 3.11 ;;'
    base.write_text(f'#!/bin/sh\ncase "$*" in {answers} esac\n')
    for path in (base, checkout / "pip"):
        path.chmod(0o755)
    result = install(checkout, python=str(base))
    assert result.returncode == 0, result.stderr
    assert "made in another folder" in result.stdout
    assert (checkout / ".venv/.made-in").read_text() == f"{checkout.resolve()}\n"


def test_a_failed_installation_says_what_to_look_at(checkout: Path) -> None:
    (checkout / ".venv/bin/pip").write_text("#!/bin/sh\nexit 1\n")
    result = install(checkout, "embedded,dev")
    assert result.returncode == 1
    assert "network" in result.stderr
    assert "run this again" in result.stderr
    assert not (checkout / ".venv/.installed-dev").exists()


def test_an_environment_nobody_here_made_is_not_deleted(checkout: Path) -> None:
    (checkout / ".venv/.installed-embedded").unlink()
    other = checkout / "python"
    other.write_text('#!/bin/sh\necho "9.9"\n')
    other.chmod(0o755)
    result = install(checkout, python=str(other))
    assert result.returncode == 1
    assert "Move it away" in result.stderr
    assert (checkout / ".venv/bin/pip").exists()


@pytest.fixture
def model_files(checkout: Path) -> Path:
    """A checkout that holds models' files and the vocabulary, and a gateway that says what it was asked: model two, and
    a family of two members."""
    for folder in ("one", "two", "family", "family-a", "family-b"):
        for name in ("card.toml", "config.pbtxt", "1/model.onnx"):
            path = checkout / "model_repository" / folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("")
    resolving = 'echo "$3" | sed "s#someone/family#family\\nfamily-a\\nfamily-b#"'
    (checkout / ".venv/bin/gateway").write_text(
        f'#!/bin/sh\ncase "$2" in resolve) {resolving} ;; *) echo "$0 $*" ;; esac\n'
    )
    (checkout / "vocabularies").mkdir()
    (checkout / "vocabularies/cl100k_base.tiktoken").write_text("")
    return checkout


def get_models(checkout: Path, *names: str) -> list[str]:
    """What the gateway was asked to do."""
    result = bash(checkout, f"get_models .run model_repository vocabularies {' '.join(names or ('one',))}")
    assert result.returncode == 0, result.stderr
    return [line.partition("gateway ")[2] for line in result.stdout.splitlines() if ".venv" in line]


def test_model_files_are_proved_once(model_files: Path) -> None:
    assert get_models(model_files) == ASKED
    assert get_models(model_files) == []


@pytest.mark.parametrize("path", ["model_repository/one/1/model.onnx", "vocabularies/cl100k_base.tiktoken"])
@pytest.mark.parametrize("change", ["changed", "gone"])
def test_model_files_that_changed_are_proved_again(model_files: Path, path: str, change: str) -> None:
    get_models(model_files)
    if change == "gone":
        (model_files / path).unlink()
    else:
        (model_files / path).write_text("x")
    assert get_models(model_files) == ASKED


def test_every_model_has_a_proof_of_its_own(model_files: Path) -> None:
    get_models(model_files, "one")
    asked = ["models pull someone/family two", "models pull cl100k_base", "models verify --quiet someone/family two"]
    assert get_models(model_files, "someone/family", "one", "two") == asked
    assert get_models(model_files, "two", "one") == []
    (model_files / "model_repository/family-b/1/model.onnx").write_text("x")
    assert get_models(model_files, "one", "two") == []
    assert get_models(model_files, "someone/family") == [call.replace(" two", "") for call in asked]


def test_a_vocabulary_that_cannot_be_had_stops_nothing(model_files: Path) -> None:
    (model_files / "vocabularies/cl100k_base.tiktoken").unlink()
    (model_files / ".venv/bin/gateway").write_text('#!/bin/sh\ncase "$*" in *cl100k*) exit 1 ;; esac\n')
    result = bash(model_files, "get_models .run model_repository vocabularies one")
    assert result.returncode == 0, result.stderr
    assert "token ids" in result.stderr


@pytest.mark.parametrize("step", ["verify", "pull one"])
def test_a_failed_proof_is_not_remembered(model_files: Path, step: str) -> None:
    (model_files / ".venv/bin/gateway").write_text(f'#!/bin/sh\ncase "$*" in *"{step}"*) exit 1 ;; esac\n')
    for _ in range(2):
        result = bash(model_files, "get_models .run model_repository vocabularies one")
        assert result.returncode == 1


def test_a_name_that_is_none_is_told_before_anything_is_fetched(model_files: Path) -> None:
    (model_files / ".venv/bin/gateway").write_text('#!/bin/sh\ncase "$*" in *resolve*) exit 1 ;; esac; echo "$*"\n')
    result = bash(model_files, "get_models .run model_repository vocabularies one")
    assert (result.returncode, result.stdout) == (1, "")


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ("", []),
        ("--auto-ports --port 8010", []),
        ("--model a", ["a"]),
        ("--model=a --port 1 --model b --models=c", ["a", "b"]),
        ("--port 1 --model", []),
    ],
)
def test_models_are_named_as_gateway_up_takes_them(tmp_path: Path, arguments: str, named: list[str]) -> None:
    assert bash(tmp_path, f"options_naming --model {arguments}").stdout.splitlines() == named


def scripts_in(folder: Path, *cards: str) -> Path:
    """A checkout with the real scripts, where nothing is missing, and a gateway that says what it is asked. Of its
    models only those in `cards` are known."""
    shutil.copytree(ROOT / "scripts", folder / "scripts")
    (folder / "scripts/lib/requirements.sh").write_text("check_requirements() { PYTHON_FOUND=.venv/bin/python; }\n")
    (folder / "scripts/lib/environment.sh").write_text("install_environment() { :; }\n")
    gateway = '#!/bin/sh\ncase "$*" in "models resolve WRONG") echo "no such model" >&2; exit 1 ;; esac\necho "$*"\n'
    (folder / ".venv/bin/gateway").write_text(gateway)
    for name in cards:
        (folder / "model_repository" / name).mkdir(parents=True)
        (folder / "model_repository" / name / "card.toml").write_text("")
    return folder


def run_script(checkout: Path, script: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    plain = {name: value for name, value in os.environ.items() if not name.startswith("GATEWAY_")}
    return subprocess.run(
        [checkout / "scripts" / script, *arguments],
        env={**plain, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


MINILM = "all-MiniLM-L6-v2"


@pytest.mark.parametrize(
    ("arguments", "models", "pulled"),
    [
        ([], "", [MINILM]),
        (["--model", "jina-embeddings-v3"], "", ["jina-embeddings-v3"]),
        (["--model=jina-embeddings-v3", "--model", "x"], "y", ["jina-embeddings-v3 x"]),
        (["--auto-ports"], "jina-embeddings-v3, x", ["jina-embeddings-v3 x"]),
    ],
)
def test_quick_start_gets_the_models_that_are_to_be_served(
    checkout: Path, arguments: list[str], models: str, pulled: list[str]
) -> None:
    scripts_in(checkout, MINILM)
    result = run_script(checkout, "quick_start.sh", *arguments, GATEWAY_MODELS=models)
    lines = result.stdout.splitlines()
    assert [line.removeprefix("models pull ") for line in lines if line.startswith("models pull ")] == [
        *pulled,
        "cl100k_base",
    ]
    assert " ".join(["up", *arguments]) in lines


def test_where_the_first_model_is_not_known_what_is_there_is_served(checkout: Path) -> None:
    scripts_in(checkout, "another")
    result = run_script(checkout, "quick_start.sh")
    assert "models pull" not in result.stdout
    assert "--model NAME" in result.stdout
    assert "up" in result.stdout.splitlines()


def test_a_repository_given_to_quick_start_is_where_it_looks(checkout: Path) -> None:
    scripts_in(checkout, MINILM)
    result = run_script(checkout, "quick_start.sh", "--model-repository", "elsewhere")
    assert "elsewhere does not know" in result.stdout


@pytest.mark.parametrize("setting", [False, True])
def test_a_wrong_name_stops_nothing_that_runs(checkout: Path, sleeper: subprocess.Popen[bytes], setting: bool) -> None:
    scripts_in(checkout, MINILM)
    (checkout / ".run").mkdir()
    record(checkout / ".run", pid=sleeper.pid, start_ticks=start_ticks_of(sleeper.pid))
    arguments, environment = ([], {"GATEWAY_MODELS": "WRONG"}) if setting else (["--model", "WRONG"], {})
    result = run_script(checkout, "restart.sh", *arguments, **environment)
    assert (result.returncode, result.stderr) == (1, "no such model\n")
    assert sleeper.poll() is None
