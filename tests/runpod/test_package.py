"""What the runpod package makes of our handlers, where it differs from what one would think."""

from __future__ import annotations

from typing import Any

import pytest
from runpod.serverless.modules.rp_job import run_job

from gateway.runpod.package import with_output


async def failing(_job: dict[str, Any]) -> dict[str, Any]:
    return {"error": "A sentence. (status 400, code x)"}


async def answering(_job: dict[str, Any]) -> dict[str, Any]:
    return {"data": []}


async def test_a_failed_job_has_one_string_and_no_output(capsys: pytest.CaptureFixture[str]) -> None:
    assert await run_job(failing, {"id": "j"}) == {"error": "A sentence. (status 400, code x)"}


async def test_the_debugger_finds_an_output_to_write_into(capsys: pytest.CaptureFixture[str]) -> None:
    failed = await run_job(with_output(failing), {"id": "j"})
    assert failed["error"] == "A sentence. (status 400, code x)"
    failed["output"]["rp_debugger"] = {}
    assert await run_job(with_output(answering), {"id": "j"}) == {"output": {"data": []}}
