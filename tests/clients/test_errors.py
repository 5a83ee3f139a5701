"""What goes wrong arrives as each client's own exceptions, in the gateway's words, and is tried again where the client
does that."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from tests.clients.conftest import NEWEST, Reports
from tests.clients.gateways import PATIENT
from tests.clients.programs.report import BUSY_ONCE

pytestmark = [pytest.mark.network, pytest.mark.triton, pytest.mark.timeout(900)]

WORDS = {
    "wrong key": "API key",
    "unknown model": "model",
    "busy": "Too much is waiting",
    "away": "Triton is away",
}
STATUS = {"wrong key": 401, "unknown model": 404, "busy": 429, "away": 503}
OPENAI = ("AuthenticationError", "NotFoundError", "RateLimitError", "InternalServerError")
COHERE = ("UnauthorizedError", "NotFoundError", "TooManyRequestsError", "ServiceUnavailableError")
OLLAMA = ("ResponseError",) * 4


@dataclass(frozen=True)
class Errors:
    """A client's exceptions for each of `STATUS`, and the statuses that they tell. In those of `mute` it keeps the
    gateway's words to itself."""

    program: str
    client: str
    kinds: tuple[str | None, ...]
    statuses: tuple[int | None, ...] = (401, 404, 429, 503)
    mute: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.client + (NEWEST if self.program.endswith(NEWEST) else "")

    @property
    def cases(self) -> list[str]:
        named = [what for what, kind in zip(STATUS, self.kinds, strict=True) if kind is not None]
        return [*named, "busy once"] if self.client in PATIENT else named


# Ollama answers a full queue with 503.
OLLAMA_STATUSES = (401, 404, 503, 503)
NO_STATUSES = (None, None, None, None)
# Reads answers without looking at their status.
TEI = ("JSONDecodeError", None, "KeyError", "KeyError")
VOYAGE = ("AuthenticationError", "APIError", "RateLimitError", "ServiceUnavailableError")
GOOGLE = ("ClientError", "ClientError", "ClientError", "ServerError")
LITELLM = ("AuthenticationError", "NotFoundError", "RateLimitError", "ServiceUnavailableError")
ERRORS = [
    Errors("openai_sdk", "openai", OPENAI),
    Errors("openai_sdk", "azure", OPENAI),
    Errors("langchain_packages", "langchain-openai", OPENAI),
    Errors("langchain_packages", "langchain-ollama", OLLAMA, OLLAMA_STATUSES),
    Errors("langchain_packages", "langchain-cohere", COHERE),
    Errors("llama_index_packages", "llama-index-openai", OPENAI),
    Errors("llama_index_packages", "llama-index-jinaai", ("RuntimeError",) * 4, NO_STATUSES),
    Errors("llama_index_packages", "llama-index-tei", TEI, NO_STATUSES, mute=tuple(STATUS)),
    Errors("llama_index_packages", "llama-index-ollama", OLLAMA, OLLAMA_STATUSES),
    Errors("llama_index_packages", "llama-index-cohere", COHERE),
    Errors("haystack_packages", "haystack-openai", OPENAI),
    Errors("haystack_packages", "haystack-jina", ("RuntimeError",) * 4, NO_STATUSES),
    Errors("ollama_sdk", "ollama", OLLAMA, OLLAMA_STATUSES),
    Errors("cohere_sdk", "cohere", COHERE),
    Errors("cohere_sdk", "cohere-v2", COHERE),
    Errors("cohere_sdk" + NEWEST, "cohere", COHERE),
    Errors("cohere_sdk" + NEWEST, "cohere-v2", COHERE),
    Errors("voyage_sdk", "voyageai", VOYAGE, mute=("away",)),
    Errors("google_genai_sdk", "google-genai", GOOGLE),
    Errors("litellm_package", "litellm-openai", LITELLM),
]


@pytest.mark.parametrize("errors", ERRORS, ids=str)
@pytest.mark.parametrize("place", range(len(STATUS)), ids=STATUS)
def test_errors_are_the_clients_own(errors: Errors, place: int, reports: Reports) -> None:
    what, kind = list(STATUS)[place], errors.kinds[place]
    outcomes = reports.of(errors.program)
    if kind is None:
        assert f"{errors.client}: {what}" not in outcomes
        return
    found = outcomes[f"{errors.client}: {what}"]
    assert kind in found.get("raised", ()), found
    assert found["status"] == errors.statuses[place], found
    if what not in errors.mute:
        assert WORDS[what] in found["says"]


@pytest.mark.parametrize("errors", [one for one in ERRORS if one.client in PATIENT], ids=str)
def test_a_429_is_tried_again_by_clients_that_do(
    errors: Errors, reports: Reports, in_process_vectors: np.ndarray
) -> None:
    gave = np.array(reports.gave(errors.program, f"{errors.client}: busy once"), np.float64)
    expected = in_process_vectors if gave.ndim == 2 else in_process_vectors[0]
    assert np.abs(gave - expected).max() <= 1e-6
    assert reports.requests(errors.program, BUSY_ONCE + errors.client) == 2


def test_every_client_that_tries_again_is_there() -> None:
    assert set(PATIENT) <= {errors.client for errors in ERRORS}
