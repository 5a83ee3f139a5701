"""OpenAI's embeddings and models API, as its own clients and the many that imitate them call it."""

from __future__ import annotations

import time
from collections.abc import Sequence

from starlette.responses import Response
from starlette.routing import BaseRoute
from starlette.types import Receive, Scope, Send

from gateway.dialects.base import services_of
from gateway.dialects.bodies import await_while_connected, check_value_count, parse_object, read_body
from gateway.dialects.error_schema import error_responses
from gateway.dialects.faults import Fault
from gateway.dialects.model_objects import model_object
from gateway.dialects.model_schema import ModelResponse, ModelsResponse
from gateway.dialects.openai_request import VOCABULARY_HEADER, parse_embeddings_call
from gateway.dialects.openai_response import encode_answer
from gateway.dialects.openai_schema import EmbeddingsRequest, EmbeddingsResponse
from gateway.dialects.pages import Page, json_response
from gateway.dialects.routing import serve
from gateway.telemetry.requests import RequestRecord, record_of
from gateway.types import EmbedResult

WARNING_HEADER = b"x-gateway-warning"

_JSON_HEADER = (b"content-type", b"application/json")
_VERSION_HEADER = (b"openai-version", b"2020-10-01")

_ERROR_TYPES = {429: "rate_limit_error"}


class OpenAI:
    """The dialect of `/v1` and the default one for paths that belong to nobody."""

    path_prefixes: Sequence[str] = ("/",)

    def __init__(self, *, max_inputs: int, max_body_values: int, request_timeout_seconds: float) -> None:
        """`max_body_values` bounds the JSON values of one body; it has to leave room for the most token ids."""
        self._embeddings = EmbeddingsEndpoint(
            max_inputs=max_inputs, max_body_values=max_body_values, request_timeout_seconds=request_timeout_seconds
        )

    def routes(self) -> list[BaseRoute]:
        """`/v1/embeddings`, `/v1/models`, `/v1/models/{id}`, and the spellings of misconfigured base URLs."""
        return [
            *serve(
                ("/v1/embeddings", "/embeddings", "/v1/v1/embeddings"),
                self._embeddings,
                method="POST",
                describe=create_embeddings,
                responses=error_responses(400, 401, 404, 408, 413, 415, 429, 500, 503, 504),
                tags=["OpenAI"],
            ),
            *serve(
                ("/v1/models", "/models", "/v1/v1/models"),
                Page("models", _models_page),
                method="GET",
                describe=list_models,
                responses=error_responses(401),
                tags=["OpenAI"],
            ),
            *serve(
                ("/v1/models/{model:path}", "/models/{model:path}", "/v1/v1/models/{model:path}"),
                Page("model", _model_page),
                method="GET",
                describe=retrieve_model,
                responses=error_responses(401, 404),
                tags=["OpenAI"],
            ),
        ]

    def render_fault(self, fault: Fault) -> Response:
        """OpenAI's envelope, plus the message as a string `detail` for clients of APIs that share its paths."""
        envelope = {
            "error": {
                "message": fault.message,
                "type": error_type(fault.status),
                "param": fault.param,
                "code": fault.code,
            },
            "detail": fault.message,
        }
        return json_response(envelope, status=fault.status, headers=fault.headers)


class EmbeddingsEndpoint:
    """`POST /v1/embeddings` as a bare ASGI app."""

    def __init__(self, *, max_inputs: int, max_body_values: int, request_timeout_seconds: float) -> None:
        self._max_inputs = max_inputs
        self._max_body_values = max_body_values
        self._request_timeout_seconds = request_timeout_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        record = record_of(scope)
        record.route = "embeddings"
        deadline = time.monotonic() + self._request_timeout_seconds
        body = await read_body(receive)
        await check_value_count(body, max_values=self._max_body_values)
        call = parse_embeddings_call(
            parse_object(body),
            vocabulary_header=_header(scope, VOCABULARY_HEADER),
            max_inputs=self._max_inputs,
            deadline=deadline,
        )
        result = await await_while_connected(services_of(scope).embedder.embed(call.request), receive)
        _note(record, result)
        answer = await encode_answer(result, call.encoding)
        await _send_json(send, answer, warnings=result.warnings)


async def _send_json(send: Send, body: bytes, *, warnings: Sequence[str]) -> None:
    headers = [_JSON_HEADER, (b"content-length", b"%d" % len(body)), _VERSION_HEADER]
    headers += [(WARNING_HEADER, _header_text(warning)) for warning in warnings]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _note(record: RequestRecord, result: EmbedResult) -> None:
    record.model = result.model
    record.inputs = len(result.vectors)
    record.tokens = result.usage.total_tokens
    record.stages = result.stages


def _header(scope: Scope, name: bytes) -> str | None:
    return next((value.decode("latin-1") for key, value in scope["headers"] if key == name), None)


def _header_text(text: str) -> bytes:
    """`text` as a header value: printable ASCII, anything else replaced."""
    return "".join(letter if " " <= letter <= "~" else "?" for letter in text).encode("ascii")


def _models_page(scope: Scope) -> Response:
    models = services_of(scope).models
    return json_response({"object": "list", "data": [model_object(listing, models) for listing in models.list()]})


def _model_page(scope: Scope) -> Response:
    models = services_of(scope).models
    return json_response(model_object(models.resolve(scope["path_params"]["model"].rstrip("/")), models))


def error_type(status: int) -> str:
    """OpenAI's `type` word for an error of this status."""
    return "server_error" if status >= 500 else _ERROR_TYPES.get(status, "invalid_request_error")


def create_embeddings(body: EmbeddingsRequest) -> EmbeddingsResponse:  # type: ignore[empty-body]
    """Turn inputs into vectors: one unit-length vector per input, in input order."""


def list_models() -> ModelsResponse:  # type: ignore[empty-body]
    """List the models that are served."""


def retrieve_model(model: str) -> ModelResponse:  # type: ignore[empty-body]
    """Describe one model, by short name, hub id or alias."""
