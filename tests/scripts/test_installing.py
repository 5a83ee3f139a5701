"""When the scripts install, which models they get, and when files are proved again."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.shell_scripts import ROOT, bash, record, start_ticks_of

ASKED = ["models pull one", "models pull cl100k_base", "models verify --quiet one"]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder with an environment that counts as installed, whose pip only says what it was asked."""
    binaries = tmp_path / ".venv/bin"
    binaries.mkdir(parents=True)
    programs = dict.fromkeys(("gateway", "pip"), '#!/bin/sh\necho "$0 $*"\n')
    # No link: from another folder Python would not see this environment's packages.
    programs["python"] = f'#!/bin/sh\nexec "{sys.executable}" "$@"\n'
    for name, script in programs.items():
        (binaries / name).write_text(script)
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
    refusal = '"models resolve --to-serve WRONG") echo "no such model" >&2; exit 1 ;;'
    gateway = f'#!/bin/sh\ncase "$*" in {refusal} esac\necho "$*"\n'
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
