"""Jobs in, answers out: the seed's and the reference's shapes, and every fault as one string."""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import pytest

from gateway import errors
from gateway.dialects.inputs import InputLimits
from gateway.dialects.runpod_jobs import JobHandler
from gateway.dialects.runpod_limits import JobLimits
from gateway.types import TextInput
from tests.support.captured_log import captured_log
from tests.support.instant_models import IMAGE_MODEL, ScriptedModels, family_listing, reranker_listing
from tests.support.instant_services import (
    InstantServices,
    expected_score,
    expected_token_vectors,
    expected_vector,
)

LIMITS = JobLimits(
    inputs=InputLimits(max_inputs=8, max_image_bytes=10_000), request_timeout_seconds=30, max_output_bytes=100_000
)
HELLO = TextInput("Hello")


@pytest.fixture
def services() -> InstantServices:
    return InstantServices()


@pytest.fixture
async def handler(services: InstantServices) -> AsyncIterator[JobHandler]:
    async with services.start() as started:
        yield JobHandler(started, LIMITS)


async def output(handler: JobHandler, **fields: Any) -> dict[str, Any]:
    answer = await handler.answer({"id": "j1", "input": fields})
    assert "error" not in answer, answer
    return answer


async def error(handler: JobHandler, given: Any, **job: Any) -> str:
    answer = await handler.answer({"id": "j1", "input": given, **job})
    assert list(answer) == ["error"]
    assert isinstance(answer["error"], str)
    return answer["error"]


async def test_the_answer_is_the_seeds(handler: JobHandler) -> None:
    answer = await output(handler, input=["Hello", "you"])
    vectors = [expected_vector(TextInput(text)).tolist() for text in ("Hello", "you")]
    assert list(answer) == ["model", "object", "data", "usage"]
    assert (answer["model"], answer["object"]) == ("tiny", "list")
    assert [(list(row), row["object"], row["index"]) for row in answer["data"]] == [
        (["object", "index", "embedding"], "embedding", index) for index in range(2)
    ]
    assert [np.float32(row["embedding"]).tolist() for row in answer["data"]] == vectors
    assert answer["usage"] == {"prompt_tokens": 2, "total_tokens": 2}


async def test_numbers_are_the_shortest_that_read_back(handler: JobHandler) -> None:
    (row,) = (await output(handler, input="Hello"))["data"]
    assert [repr(value) for value in row["embedding"]] == [repr(float(str(value))) for value in expected_vector(HELLO)]


@pytest.mark.parametrize("encoding", ["binary", "ubinary"])
async def test_packed_bits_are_a_base64_string(handler: JobHandler, encoding: str) -> None:
    (row,) = (await output(handler, input="Hello", embedding_type=encoding))["data"]
    bits = np.unpackbits(np.frombuffer(base64.b64decode(row["embedding"]), np.uint8))
    assert bits.tolist() == (expected_vector(HELLO) > 0).astype(int).tolist()


async def test_base64_is_little_endian_float32(handler: JobHandler) -> None:
    (row,) = (await output(handler, input="Hello", embedding_type="base64"))["data"]
    assert np.frombuffer(base64.b64decode(row["embedding"]), "<f4").tolist() == expected_vector(HELLO).tolist()


async def test_several_types_give_an_object_keyed_by_type(handler: JobHandler) -> None:
    kinds = ["float", "base64", "ubinary"]
    answer = await output(handler, input=["Hello"], embedding_type=kinds)
    embedding = answer["data"][0]["embedding"]
    assert list(embedding) == kinds
    assert np.float32(embedding["float"]).tolist() == expected_vector(HELLO).tolist()
    assert np.frombuffer(base64.b64decode(embedding["base64"]), "<f4").tolist() == expected_vector(HELLO).tolist()
    assert len(base64.b64decode(embedding["ubinary"])) == 384 // 8


@pytest.mark.parametrize("kinds", [["float"], ["base64", "binary"]])
async def test_one_vector_a_token(handler: JobHandler, kinds: list[str]) -> None:
    answer = await output(
        handler, model=IMAGE_MODEL, input=["Hello"], return_multivector=True, embedding_type=kinds,
        return_tokenized_input=True,
    )  # fmt: skip
    (row,) = answer["data"]
    expected = expected_token_vectors(HELLO)
    assert row["object"] == "embeddings"
    assert len(row["tokenized_input"]) == len(expected)
    if kinds == ["float"]:
        assert np.float32(row["embeddings"]).tolist() == expected.tolist()
        return
    decoded = [np.frombuffer(base64.b64decode(text), "<f4").tolist() for text in row["embeddings"]["base64"]]
    assert decoded == expected.tolist()
    packed = [base64.b64decode(text) for text in row["embeddings"]["binary"]]
    assert packed == [np.packbits(vector > 0).tobytes() for vector in expected]


async def test_images_are_counted_apart(handler: JobHandler) -> None:
    answer = await output(handler, model=IMAGE_MODEL, input=[{"image": "https://example.com/a.png"}, {"text": "a"}])
    usage = answer["usage"]
    assert usage["image_tokens"] == usage["total_tokens"] - 1 > 0


@pytest.mark.parametrize(
    ("asked", "answered"),
    [(None, "tiny-shared"), ("Tiny-Shared", "tiny-shared"), ("tiny-family", "tiny-family")],
)
async def test_a_merged_model_answers_to_the_whole_models_name(asked: str | None, answered: str) -> None:
    services = InstantServices(models=ScriptedModels([family_listing(), reranker_listing()]))
    async with services.start() as started:
        answer = await output(JobHandler(started, LIMITS), model=asked, input="Hello")
    assert answer["model"] == answered


@pytest.mark.parametrize("given", [None, "text", ["text"], 5])
async def test_an_input_that_is_no_object_says_what_to_send(handler: JobHandler, given: object) -> None:
    text = await error(handler, given)
    assert '{"input": {"input": ["some text"]}}' in text
    assert text.endswith("(status 400, code invalid_value, param input)")


@pytest.mark.parametrize(
    ("fields", "tail"),
    [
        ({}, "(status 400, code invalid_value, param input)"),
        ({"input": []}, "param input)"),
        ({"input": ["a"] * 9}, "(status 400, code too_many_inputs, param input)"),
        ({"input": "a", "embedding_type": "int9"}, "(status 400, code invalid_value, param embedding_type)"),
        ({"input": "a", "dimensions": 10_000}, "(status 400, code invalid_value, param dimensions)"),
        ({"input": "a", "model": "none"}, "(status 404, code model_not_found, param model)"),
        ({"input": "SECRET", "model": 5}, "param model)"),
    ],
)
async def test_faults_are_a_sentence_with_status_code_and_field(
    handler: JobHandler, fields: dict[str, Any], tail: str
) -> None:
    text = await error(handler, fields)
    assert text.endswith(tail)
    assert "SECRET" not in text


@pytest.mark.parametrize(
    ("raised", "status"),
    [
        (errors.Overloaded("The queue is full."), 429),
        (errors.EngineUnavailable("Triton is away."), 503),
        (errors.DeadlineExceeded("Too late."), 504),
    ],
)
async def test_what_the_service_raises_keeps_its_status(
    services: InstantServices, handler: JobHandler, raised: errors.GatewayError, status: int
) -> None:
    services.embedder.error = raised
    text = await error(handler, {"input": "a"}, policy={"executionTimeout": 500})
    assert text == f"{raised.message} (status {status}, code {raised.code})"
    is_waited_for = isinstance(raised, errors.EngineUnavailable)
    assert (len(services.embedder.seen) > 1) == is_waited_for


async def test_a_job_waits_while_triton_is_away(services: InstantServices, handler: JobHandler) -> None:
    services.embedder.error, services.embedder.errors_left = errors.BackendProcessDied("It died."), 2
    assert (await output(handler, input="a"))["data"]
    assert len(services.embedder.seen) == 3
    assert len({request.deadline for request in services.embedder.seen}) == 1


async def test_nothing_unforeseen_is_told_and_nothing_but_the_job_ends(
    services: InstantServices, handler: JobHandler
) -> None:
    services.embedder.error, services.embedder.errors_left = RuntimeError("SECRET text"), 1
    with captured_log() as log:
        text = await error(handler, {"input": "SECRET"})
    assert text == (
        "The gateway failed in a way it did not foresee. Please report it with the job's id, j1. "
        "(status 500, code internal_error)"
    )
    assert "SECRET" not in log.getvalue()
    assert "RuntimeError" in log.getvalue()
    assert (await output(handler, input="a"))["data"]


async def test_no_input_and_no_vector_is_logged(handler: JobHandler) -> None:
    with captured_log() as log:
        await output(handler, input=["SECRET"])
        await error(handler, {"input": {"SECRET": 1}})
    lines = log.getvalue()
    assert '"job":"j1"' in lines
    assert '"tokens":1' in lines
    assert "SECRET" not in lines


@pytest.mark.parametrize(
    ("policy", "seconds"),
    [({"executionTimeout": 5000}, 5), ({"executionTimeout": 600_000}, 30), ({"executionTimeout": True}, 30)]
    + [(policy, 30) for policy in (None, "x", {}, {"executionTimeout": 0}, {"executionTimeout": "5"})],
)
async def test_a_jobs_own_timeout_is_its_deadline(
    services: InstantServices, handler: JobHandler, policy: object, seconds: float
) -> None:
    before = time.monotonic()
    await handler.answer({"id": "j", "input": {"input": "a"}, "policy": policy})
    assert before + seconds <= services.embedder.seen[0].deadline <= time.monotonic() + seconds


async def test_an_answer_that_cannot_fit_is_refused_before_it_is_computed(services: InstantServices) -> None:
    async with services.start() as started:
        small = JobHandler(started, JobLimits(LIMITS.inputs, 30, max_output_bytes=10_000))
        text = await error(small, {"input": ["a"] * 8})
        assert services.embedder.seen == []
        assert "base64" in text
        assert "dimensions" in text
        assert "fewer inputs" in text
        assert text.endswith("(status 400, code output_too_large, param input)")
        assert (await output(small, input=["a"] * 8, embedding_type="binary"))["data"]
        assert (await output(small, input=["a"] * 8, dimensions=32))["data"]


async def test_openais_answer_that_cannot_fit_is_refused_before_it_is_computed(services: InstantServices) -> None:
    async with services.start() as started:
        small = JobHandler(started, JobLimits(LIMITS.inputs, 30, max_output_bytes=10_000))
        answer = await openai(small, "/v1/embeddings", {"input": ["a"] * 8})
        assert (answer["code"], services.embedder.seen) == (400, [])
        assert "0.01 MB that RunPod carries" in answer["message"]
        assert (await openai(small, "/v1/embeddings", {"input": ["a"] * 8, "dimensions": 32}))["data"]


@pytest.mark.parametrize("is_openai", [False, True])
async def test_vectors_of_tokens_that_cannot_fit_are_refused_once_the_tokens_are_counted(
    services: InstantServices, is_openai: bool
) -> None:
    asked = {"model": IMAGE_MODEL, "input": "a " * 100, "return_multivector": True}

    def job(**more: str) -> dict[str, Any]:
        fields = asked | more
        return {"openai_route": "/v1/embeddings", "openai_input": fields} if is_openai else fields

    async with services.start() as started:
        small = JobHandler(started, JobLimits(LIMITS.inputs, 30, max_output_bytes=10_000))
        refused = await small.answer({"id": "j", "input": job()})
        assert "0.01 MB that RunPod carries" in refused["message" if is_openai else "error"]
        assert services.embedder.seen[0].max_token_vectors == 10_000 // (16 * 8)
        assert "data" in await small.answer({"id": "j", "input": job(embedding_type="binary")})


async def test_an_answer_that_turns_out_too_large_is_refused(services: InstantServices) -> None:
    async with services.start() as started:
        small = JobHandler(started, JobLimits(LIMITS.inputs, 30, max_output_bytes=5_000))
        assert "output_too_large" in await error(small, {"input": ["a"]})
        assert len(services.embedder.seen) == 1
        openai = {"openai_route": "/v1/embeddings", "openai_input": {"input": "a"}}
        assert (await small.answer({"id": "j", "input": openai}))["code"] == 400


async def test_a_query_ranks_documents(handler: JobHandler) -> None:
    documents = ["one", "two", "three"]
    scores = {text: float(expected_score("q", text)) for text in documents}
    order = sorted(documents, key=lambda text: -scores[text])
    answer = await output(handler, query="q", docs=documents, return_docs=True)
    assert answer["object"] == "rerank"
    assert [row["document"] for row in answer["results"]] == order
    assert [row["index"] for row in answer["results"]] == [documents.index(text) for text in order]
    assert [row["relevance_score"] for row in answer["results"]] == pytest.approx([scores[text] for text in order])
    assert answer["usage"] == {"prompt_tokens": 3, "total_tokens": 3}
    plain = await output(handler, query="q", docs=documents, top_n=1)
    assert [sorted(row) for row in plain["results"]] == [["index", "relevance_score"]]


async def test_without_a_reranker_a_query_says_what_a_worker_needs() -> None:
    services = InstantServices(models=ScriptedModels([family_listing()]))
    async with services.start() as started:
        text = await error(JobHandler(started, LIMITS), {"query": "q", "docs": ["a"]})
    assert "RERANKER_MODEL_ID" in text
    assert "models pull" not in text
    assert text.endswith("(status 404, code model_not_found, param model)")


async def openai(handler: JobHandler, route: object, body: object) -> dict[str, Any]:
    return await handler.answer({"id": "j", "input": {"openai_route": route, "openai_input": body}})


@pytest.mark.parametrize("route", ["/v1/embeddings", "/embeddings", "/v1/embeddings/"])
async def test_the_openai_route_gives_openais_answer(handler: JobHandler, route: str) -> None:
    answer = await openai(handler, route, {"input": "Hello", "encoding_format": "base64", "model": "tiny"})
    assert (answer["object"], answer["model"]) == ("list", "tiny")
    vector = np.frombuffer(base64.b64decode(answer["data"][0]["embedding"]), "<f4")
    assert vector.tolist() == expected_vector(HELLO).tolist()


async def test_the_openai_route_keeps_the_http_apis_numbers(handler: JobHandler) -> None:
    answer = await openai(handler, "/v1/embeddings", {"input": "Hello", "embedding_type": "ubinary"})
    assert answer["data"][0]["embedding"] == np.packbits(expected_vector(HELLO) > 0).tolist()


async def test_the_openai_route_lists_models(handler: JobHandler) -> None:
    answer = await openai(handler, "/v1/models", None)
    assert [model["id"] for model in answer["data"]] == ["tiny", "tiny-reranker", IMAGE_MODEL]
    assert (await openai(handler, "/v1/models/acme%2FTiny-Model", None))["id"] == "tiny"


@pytest.mark.parametrize(
    ("route", "body", "code", "kind"),
    [
        ("/v1/embeddings", {"input": []}, 400, "BadRequestError"),
        ("/v1/embeddings", None, 400, "BadRequestError"),
        ("/v1/embeddings", {"input": "a", "model": "none"}, 404, "NotFoundError"),
        ("/v1/models/none", None, 404, "NotFoundError"),
        ("/v1/chat/completions", {"messages": []}, 400, "BadRequestError"),
        (None, None, 400, "BadRequestError"),
    ],
)
async def test_the_openai_routes_faults_are_a_body(
    handler: JobHandler, route: object, body: object, code: int, kind: str
) -> None:
    answer = await openai(handler, route, body)
    assert sorted(answer) == ["code", "message", "object", "param", "type"]
    assert (answer["object"], answer["code"], answer["type"]) == ("error", code, kind)


async def test_a_job_that_nobody_waits_for_is_cancelled(services: InstantServices, handler: JobHandler) -> None:
    services.embedder.hold = True
    job = asyncio.create_task(handler.answer({"id": "j", "input": {"input": "a"}}))
    while not services.embedder.seen:  # noqa: ASYNC110
        await asyncio.sleep(0)
    job.cancel()
    with pytest.raises(asyncio.CancelledError):
        await job
    assert services.embedder.cancelled.is_set()
