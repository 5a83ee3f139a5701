"""What it takes to add a public API: one file. This one holds a toy of an API, and sees what comes with it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import httpx
import numpy as np
import orjson
import pytest
from starlette.responses import Response
from starlette.routing import BaseRoute
from starlette.testclient import TestClient
from starlette.types import Scope

from gateway import errors
from gateway.app import create_app, endpoint_limits, public_dialects
from gateway.dialects.base import Dialect, services_of
from gateway.dialects.endpoint import Answer, Call, EndpointLimits, JsonEndpoint
from gateway.dialects.faults import Fault
from gateway.dialects.fields import model_name, required_text
from gateway.dialects.pages import Page, json_response
from gateway.dialects.reference import Entry, dialect_entries
from gateway.dialects.routing import serve
from gateway.settings import Settings
from gateway.types import EmbedRequest, TextInput
from tests.support.edge import Edge, check_error, settings
from tests.support.instant_services import InstantServices, expected_vector

KEY = {"authorization": "Bearer right"}
PAGE = "https://parrots.example/api"


class Parrot:
    """A whole API."""

    name = "parrot"
    source = PAGE
    path_prefixes: Sequence[str] = ("/parrot/",)

    def __init__(self, limits: EndpointLimits) -> None:
        self._limits = limits

    def routes(self) -> list[BaseRoute]:
        return [
            *serve(
                ("/parrot/{model}/repeat", "/polly/{model}"),
                JsonEndpoint("parrot_repeat", repeat, limits=self._limits),
                method="POST",
                describe=repeat_as_vector,
                tags=["Parrot"],
                source=f"{PAGE}/repeat",
            ),
            *serve(("/parrot/words",), Page("parrot_words", words), method="GET", describe=list_words, tags=["Parrot"]),
        ]

    def render_fault(self, fault: Fault, *, request_id: str) -> Response:
        body = {"squawk": fault.message, "flight": request_id}
        return json_response(body, status=fault.status, headers=fault.headers)


async def repeat(call: Call) -> Answer:
    request = EmbedRequest(
        inputs=(TextInput(required_text(call.fields, "say", what="something to repeat")),),
        deadline=call.deadline,
        model=model_name({"model": call.scope["path_params"]["model"]}),
    )
    result = await call.wait_for(call.services.embedder.embed(request))
    call.note(model=result.model, inputs=1, usage=result.usage, stages=result.stages)
    return Answer(orjson.dumps({"said": result.vectors[0].tolist()}))


def words(scope: Scope) -> Response:
    return json_response({"words": [listing.model.name for listing in services_of(scope).models.list()]})


def repeat_as_vector(model: str) -> dict[str, list[float]]:  # type: ignore[empty-body]
    """Say it again,
    as a vector."""


def list_words() -> dict[str, list[str]]:  # type: ignore[empty-body]
    """What it can say."""


# All that follows is what such a file gets for nothing.


def with_parrot(chosen: Settings) -> list[Dialect]:
    return [*public_dialects(chosen), Parrot(endpoint_limits(chosen))]


@pytest.fixture(scope="module")
def running() -> Iterator[Edge]:
    services = InstantServices()
    chosen = settings(api_keys=("right",), max_body_bytes=1000)
    app = create_app(chosen, start_services=services.start, choose_dialects=with_parrot)
    with TestClient(app, raise_server_exceptions=False) as client:
        yield Edge(client=client, services=services)


def ask(running: Edge, path: str = "/parrot/tiny/repeat", **fields: object) -> httpx.Response:
    return running.client.post(path, json=fields or {"say": "hello"}, headers=KEY, follow_redirects=False)


@pytest.mark.parametrize("path", ["/parrot/tiny/repeat", "/parrot/tiny/repeat/", "/polly/tiny", "/polly/tiny/"])
def test_its_routes_are_served_by_the_same_models_under_all_spellings(running: Edge, path: str) -> None:
    answer = ask(running, path)
    assert answer.status_code == 200
    np.testing.assert_array_equal(np.float32(answer.json()["said"]), expected_vector(TextInput("hello")))


def test_get_goes_with_head(running: Edge) -> None:
    assert running.client.get("/parrot/words", headers=KEY).json()["words"][0] == "tiny"
    assert running.client.head("/parrot/words/", headers=KEY).status_code == 200


def check_squawk(answer: httpx.Response, status: int) -> str:
    assert answer.status_code == status, answer.text
    assert set(answer.json()) == {"squawk", "flight"}
    assert answer.json()["flight"] == answer.headers["x-request-id"]
    return str(answer.json()["squawk"])


def test_its_errors_are_in_its_own_words_wherever_they_come_from(running: Edge) -> None:
    assert "'say' has to be a string" in check_squawk(ask(running, say=1), 400)
    assert check_squawk(ask(running, "/parrot/none/repeat"), 404)
    assert check_squawk(ask(running, "/polly/none"), 404)
    assert check_squawk(running.client.post("/parrot/tiny/repeat", content=b"{", headers=KEY), 400)
    assert check_squawk(running.client.post("/parrot/tiny/repeat", json={"say": "hello"}), 401)
    assert check_squawk(ask(running, say="a" * 1000), 413)
    assert check_squawk(running.client.get("/parrot/tiny/repeat", headers=KEY), 405)
    assert check_squawk(ask(running, "/parrot/nothing-here"), 404)


@pytest.mark.parametrize(
    ("error", "status"),
    [(errors.Overloaded("Too many parrots.", retry_after_seconds=3), 429), (RuntimeError("a fault"), 500)],
)
def test_so_are_those_of_what_stands_behind_it(running: Edge, error: Exception, status: int) -> None:
    running.services.embedder.error = error
    try:
        answer = ask(running)
    finally:
        running.services.embedder.error = None
    assert "fault" not in check_squawk(answer, status)
    assert answer.headers.get("retry-after") == ("3" if status == 429 else None)


def test_the_others_are_as_they_were(running: Edge) -> None:
    check_error(running.client.post("/v1/embeddings", json={"input": 1.5}, headers=KEY), 400)
    check_error(running.client.get("/nowhere", headers=KEY), 404)
    assert set(running.client.post("/v2/embed", json={"texts": 1}, headers=KEY).json()) == {"message", "id"}


def test_it_is_in_the_reference_the_openapi_document_and_the_metrics(running: Edge) -> None:
    repeating = Entry(
        "POST", "/parrot/{model}/repeat", ("/polly/{model}",), "Say it again, as a vector.", f"{PAGE}/repeat"
    )
    listing = Entry("GET", "/parrot/words", (), "What it can say.", PAGE)
    assert dialect_entries(with_parrot(settings())[-1]) == [repeating, listing]
    paths = running.client.get("/openapi.json", headers=KEY).json()["paths"]
    assert paths["/parrot/{model}/repeat"]["post"]["tags"] == ["Parrot"]
    assert "/polly/{model}" not in paths
    ask(running)
    metrics = running.client.get("/metrics", headers=KEY).text
    assert 'route="parrot_repeat"' in metrics
