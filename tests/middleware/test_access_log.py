"""A request's line says where its time went, and of stages that it did not have says nothing."""

from __future__ import annotations

import orjson
import pytest
from starlette.types import Receive, Scope, Send
from structlog.testing import capture_logs

from gateway.middleware.access_log import AccessLog
from gateway.telemetry.requests import RequestRecord, attach_record
from gateway.types import StageSeconds
from tests.support.captured_log import captured_log

STAGES = StageSeconds(tokenize=0.001, queue=0.002, infer=0.003)
TIMES = {"tokenize_ms": 1.0, "queue_ms": 2.0, "infer_ms": 3.0}


@pytest.mark.parametrize(
    ("stages", "times"),
    [
        (None, {}),
        (STAGES, TIMES),
        (StageSeconds(images=0.5, tokenize=0.001, queue=0.002, infer=0.003), {"images_ms": 500.0, **TIMES}),
    ],
)
async def test_the_line_has_the_stages_that_there_were(stages: StageSeconds | None, times: dict[str, float]) -> None:
    scope: Scope = {"type": "http", "method": "POST"}
    attach_record(scope, RequestRecord(request_id="1", route="embeddings", status=200, stages=stages))

    async def answered(scope: Scope, receive: Receive, send: Send) -> None: ...

    async def never() -> dict[str, object]:
        raise AssertionError

    with capture_logs() as lines:
        await AccessLog(answered)(scope, never, never)  # type: ignore[arg-type]
    [line] = lines
    assert {name: value for name, value in line.items() if name.endswith("_ms")} == times
    assert (line["log_level"], line["route"], line["status"]) == ("info", "embeddings", 200)


async def test_lines_go_where_logging_was_set_up_last() -> None:
    async def answered(scope: Scope, receive: Receive, send: Send) -> None: ...

    async def never() -> dict[str, object]:
        raise AssertionError

    log = AccessLog(answered)
    for _ in range(2):
        with captured_log() as stream:
            for _ in range(2):
                scope: Scope = {"type": "http", "method": "POST"}
                await log(scope, never, never)  # type: ignore[arg-type]
        lines = [orjson.loads(line) for line in stream.getvalue().splitlines()]
        assert [(line["event"], line["logger"]) for line in lines] == [("request", "gateway.access")] * 2
