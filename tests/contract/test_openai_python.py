"""The official openai-python client against the running gateway in front of a real Triton."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Iterator

import numpy as np
import openai
import pytest
import tiktoken
from tokenizers import Tokenizer

from gateway import errors
from gateway.app import create_app
from tests.support.edge import settings
from tests.support.instant_services import InstantServices
from tests.support.live_server import live_server

pytestmark = pytest.mark.triton

MODEL = "all-MiniLM-L6-v2"
HUB_ID = "sentence-transformers/all-MiniLM-L6-v2"
TOLERANCE = 1e-5
TEXT = "A sentence about the weather in Lisbon."


@pytest.fixture(scope="session")
def client(gateway_url: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{gateway_url}/v1", api_key="unused", max_retries=0) as made:
        yield made


def vectors_of(answer: openai.types.CreateEmbeddingResponse) -> np.ndarray:
    return np.asarray([item.embedding for item in answer.data], np.float32)


def plain(client: openai.OpenAI, *texts: str) -> np.ndarray:
    return vectors_of(client.embeddings.create(model=MODEL, input=list(texts), encoding_format="float"))


def test_default_encoding(client: openai.OpenAI) -> None:
    answer = client.embeddings.create(model=MODEL, input=TEXT)  # the client asks for base64 and decodes it
    assert answer.model == MODEL
    assert answer.usage.prompt_tokens == answer.usage.total_tokens > 2
    [vector] = vectors_of(answer)
    assert vector.shape == (384,)
    assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-5)
    assert np.abs(vector - plain(client, TEXT)[0]).max() <= TOLERANCE


def test_explicit_base64_is_returned_as_sent(client: openai.OpenAI) -> None:
    answer = client.embeddings.create(model=MODEL, input=TEXT, encoding_format="base64")
    raw = base64.b64decode(str(answer.data[0].embedding))
    assert np.abs(np.frombuffer(raw, "<f4") - plain(client, TEXT)[0]).max() <= TOLERANCE


def test_the_request_id_is_exposed(client: openai.OpenAI) -> None:
    assert client.embeddings.create(model=MODEL, input=TEXT)._request_id


@pytest.mark.parametrize("size", [1, 64, 383, 384])
def test_dimensions_are_the_beginning_made_unit_length(client: openai.OpenAI, size: int) -> None:
    [vector] = vectors_of(client.embeddings.create(model=MODEL, input=TEXT, dimensions=size))
    cut = plain(client, TEXT)[0][:size].astype(np.float64)
    assert np.abs(vector - cut / np.linalg.norm(cut)).max() <= TOLERANCE


def test_a_size_the_model_was_not_trained_for_is_warned_of(client: openai.OpenAI) -> None:
    raw = client.embeddings.with_raw_response.create(model=MODEL, input=TEXT, dimensions=64)
    assert "64" in raw.headers["x-gateway-warning"]


def test_similar_texts_are_closer(client: openai.OpenAI) -> None:
    cat, kitten, tax = plain(client, "A cat sleeps.", "A kitten is sleeping.", "The tax return is due in May.")
    assert cat @ kitten > 0.6 > cat @ tax


def test_2048_inputs_of_mixed_length_keep_their_order(client: openai.OpenAI) -> None:
    texts = [f"text {index} " + "word " * (index % 23) for index in range(2048)]
    answer = client.embeddings.create(model=MODEL, input=texts)
    assert [item.index for item in answer.data] == list(range(2048))
    vectors = vectors_of(answer)
    for index in (0, 1, 22, 1000, 2047):
        assert np.abs(vectors[index] - plain(client, texts[index])[0]).max() <= TOLERANCE


@pytest.mark.parametrize("name", [MODEL, MODEL.upper(), HUB_ID, HUB_ID.lower()])
def test_every_name_of_the_model(client: openai.OpenAI, name: str) -> None:
    assert client.embeddings.create(model=name, input=TEXT).model == MODEL


def test_empty_string_is_embedded(client: openai.OpenAI) -> None:
    answer = client.embeddings.create(model=MODEL, input="")
    assert answer.usage.prompt_tokens == 2
    assert np.isfinite(vectors_of(answer)).all()


def test_the_models_own_token_ids(client: openai.OpenAI, bundled_tokenizer: Tokenizer) -> None:
    ids = bundled_tokenizer.encode(TEXT, add_special_tokens=False).ids
    for form in (ids, [ids]):
        answer = client.embeddings.create(model=MODEL, input=form, extra_body={"token_vocabulary": "model"})
        assert np.abs(vectors_of(answer)[0] - plain(client, TEXT)[0]).max() <= TOLERANCE
    header = {"x-token-vocabulary": "model"}
    answer = client.embeddings.create(model=MODEL, input=ids, extra_headers=header)
    assert np.abs(vectors_of(answer)[0] - plain(client, TEXT)[0]).max() <= TOLERANCE


def test_cl100k_token_ids_are_the_default(client: openai.OpenAI, cl100k_base: tiktoken.Encoding) -> None:
    answer = client.embeddings.create(model=MODEL, input=[cl100k_base.encode(TEXT), cl100k_base.encode("Another.")])
    assert np.abs(vectors_of(answer) - plain(client, TEXT, "Another.")).max() <= TOLERANCE


def test_models(client: openai.OpenAI) -> None:
    assert MODEL in [model.id for model in client.models.list()]
    for name in (MODEL, HUB_ID):
        model = client.models.retrieve(name)
        assert (model.id, model.object, model.owned_by) == (MODEL, "model", "sentence-transformers")


def test_wrong_fields_are_bad_requests(client: openai.OpenAI) -> None:
    for fields in ({"input": []}, {"input": TEXT, "dimensions": 385}, {"input": [1, -1]}, {"input": [[]]}):
        with pytest.raises(openai.BadRequestError) as caught:
            client.embeddings.create(model=MODEL, **fields)  # type: ignore[arg-type]
        assert caught.value.param in ("input", "dimensions")
        assert caught.value.code
        assert caught.value.request_id


def test_a_text_that_is_too_long_says_so_in_openais_words(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match=r"Please reduce your prompt; or completion length\.") as caught:
        client.embeddings.create(model=MODEL, input="word " * 300)
    assert "256" in caught.value.message
    answer = client.embeddings.create(model=MODEL, input="word " * 300, extra_body={"truncate": True})
    assert answer.usage.prompt_tokens == 256


def test_unknown_model_is_not_found(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match=MODEL) as caught:
        client.embeddings.create(model="text-embedding-3-huge", input=TEXT)
    assert caught.value.code == "model_not_found"


async def test_64_concurrent_clients_get_their_own_vectors(gateway_url: str, client: openai.OpenAI) -> None:
    texts = [f"client {index} asks about {'many ' * (index % 7)}things" for index in range(64)]
    expected = await asyncio.to_thread(plain, client, *texts)
    async with openai.AsyncOpenAI(base_url=f"{gateway_url}/v1", api_key="unused", max_retries=0) as many:
        answers = await asyncio.gather(*(many.embeddings.create(model=MODEL, input=text) for text in texts))
    got = np.concatenate([vectors_of(answer) for answer in answers])
    assert np.abs(got - expected).max() <= TOLERANCE


@pytest.mark.parametrize(
    ("raised", "caught"),
    [
        (errors.Overloaded("m"), openai.RateLimitError),
        (errors.EngineUnavailable("m"), openai.InternalServerError),
        (errors.DeadlineExceeded("m"), openai.InternalServerError),
    ],
)
def test_errors_of_load_arrive_as_the_clients_own(raised: Exception, caught: type[openai.APIStatusError]) -> None:
    services = InstantServices()
    services.embedder.error = raised
    chosen = settings()
    with (
        live_server(chosen, create_app(chosen, start_services=services.start)) as server,
        openai.OpenAI(base_url=f"{server.url}/v1", api_key="unused", max_retries=0) as client,
        pytest.raises(caught),
    ):
        client.embeddings.create(model="tiny", input="a")


def test_the_client_retries_a_503_and_gets_its_answer() -> None:
    services = InstantServices()
    services.embedder.error = errors.EngineUnavailable("Triton is away", retry_after_seconds=1)
    services.embedder.errors_left = 1
    chosen = settings()
    with (
        live_server(chosen, create_app(chosen, start_services=services.start)) as server,
        openai.OpenAI(base_url=f"{server.url}/v1", api_key="unused", max_retries=2) as client,
    ):
        assert client.embeddings.create(model="tiny", input="a").model == "tiny"
    assert len(services.embedder.seen) == 2


def test_a_wrong_key_is_an_authentication_error() -> None:
    chosen = settings(api_keys=("right",))
    with (
        live_server(chosen, create_app(chosen, start_services=InstantServices().start)) as server,
        openai.OpenAI(base_url=f"{server.url}/v1", api_key="wrong", max_retries=0) as wrong,
        openai.OpenAI(base_url=f"{server.url}/v1", api_key="right", max_retries=0) as right,
    ):
        with pytest.raises(openai.AuthenticationError):
            wrong.embeddings.create(model="tiny", input="a")
        assert right.embeddings.create(model="tiny", input="a").data


def test_a_body_beyond_the_limit_is_a_status_error_not_a_broken_connection() -> None:
    chosen = settings(max_body_bytes=100_000)
    with (
        live_server(chosen, create_app(chosen, start_services=InstantServices().start)) as server,
        openai.OpenAI(base_url=f"{server.url}/v1", api_key="unused", max_retries=0) as client,
        pytest.raises(openai.APIStatusError) as caught,
    ):
        client.embeddings.create(model="tiny", input="a" * 8_000_000)
    assert caught.value.status_code == 413
