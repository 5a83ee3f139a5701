"""Plain curl, as the README shows it, against the running gateway in front of a real Triton."""

from __future__ import annotations

import json
import shutil
import subprocess

import pytest

pytestmark = [pytest.mark.triton, pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")]


def curl(*arguments: str) -> str:
    command = ["curl", "--silent", "--show-error", "--max-time", "30", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=40).stdout


def test_the_shortest_request_there_is(gateway_url: str) -> None:
    """`-d` alone sends a form's content type."""
    answer = json.loads(curl(f"{gateway_url}/v1/embeddings", "-d", '{"input": "Hello"}'))
    assert len(answer["data"][0]["embedding"]) == 384
    assert sum(value * value for value in answer["data"][0]["embedding"]) == pytest.approx(1, abs=1e-5)


def test_a_body_from_standard_input_in_chunks(gateway_url: str) -> None:
    arguments = ["-X", "POST", "-H", "Transfer-Encoding: chunked", "-d", '{"input": ["a", "b"]}']
    assert len(json.loads(curl(f"{gateway_url}/embeddings/", *arguments))["data"]) == 2


def test_head_and_status_codes(gateway_url: str) -> None:
    for path, status in (("/", "200"), ("/ready", "200"), ("/nope", "404"), ("/v1/embeddings", "405")):
        assert curl("--head", "--output", "/dev/null", "--write-out", "%{http_code}", gateway_url + path) == status
