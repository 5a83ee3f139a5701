"""Hugging Face's own client, unmodified, as LangChain and Haystack use it: TEI's API in front of a real Triton."""

from __future__ import annotations

import httpx
import numpy as np
import pytest
from huggingface_hub import InferenceClient
from huggingface_hub.errors import HfHubHTTPError

pytestmark = pytest.mark.triton

TEXT = "A harbour in the morning."


@pytest.fixture(scope="module", params=["", "/embed"])
def client(request: pytest.FixtureRequest, gateway_url: str) -> InferenceClient:
    """By the server's address, as its documentation has it, and by the path of the call."""
    return InferenceClient(gateway_url + request.param)


def vector_of(url: str, text: str) -> np.ndarray:
    answer = httpx.post(f"{url}/v1/embeddings", json={"input": text, "truncate": True})
    return np.asarray(answer.json()["data"][0]["embedding"], np.float32)


def test_feature_extraction_gives_the_models_vector(client: InferenceClient, gateway_url: str) -> None:
    vectors = client.feature_extraction(TEXT)
    assert (vectors.shape, vectors.dtype) == ((1, 384), np.float32)
    assert np.array_equal(vectors[0], vector_of(gateway_url, TEXT))


def test_its_parameters_are_read(client: InferenceClient, gateway_url: str) -> None:
    first = "The harbour lies in the fog. " * 60
    long = first + "A violin plays in the hall. " * 60
    ends = [
        client.feature_extraction(long, normalize=True, truncate=True, truncation_direction=side)[0]
        for side in ("right", "left")
    ]
    assert np.array_equal(ends[0], vector_of(gateway_url, first))
    assert ends[0] @ ends[1] < 0.5
    with pytest.raises(HfHubHTTPError) as refused:
        client.feature_extraction(long, truncate=False)
    assert refused.value.response.status_code == 422


def test_sentence_similarity(gateway_url: str) -> None:
    alike, other = InferenceClient(gateway_url).sentence_similarity(TEXT, other_sentences=[TEXT, "A violin."])
    assert alike == pytest.approx(1, abs=1e-5)
    expected = vector_of(gateway_url, TEXT) @ vector_of(gateway_url, "A violin.")
    assert other == pytest.approx(float(expected), abs=1e-5)
