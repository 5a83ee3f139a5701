"""What official clients read beside vectors: lists of models, counts, other types of numbers, refusals of what they ask
for."""

from __future__ import annotations

import base64

import numpy as np
import pytest

from tests.clients.conftest import NEWEST, TEXTS, Reports
from tests.conftest import BUNDLED_MODEL
from tests.support.client_environment import NEWEST as NEWEST_REQUIREMENTS
from tests.support.client_environment import REQUIREMENTS

pytestmark = [pytest.mark.network, pytest.mark.triton, pytest.mark.timeout(900)]

OPENAI, LANGCHAIN, LLAMA_INDEX = "openai_sdk", "langchain_packages", "llama_index_packages"
HAYSTACK, OLLAMA, COHERE, VOYAGE = "haystack_packages", "ollama_sdk", "cohere_sdk", "voyage_sdk"
COHERES = [COHERE, COHERE + NEWEST]
# Every case that a test of this module looks at.
CASES = [
    (OPENAI, "openai: empty"), (OPENAI, "openai: too long"), (OPENAI, "openai: models"),
    (LANGCHAIN, "langchain-openai: empty"), (LANGCHAIN, "langchain-openai: too long"),
    (LLAMA_INDEX, "llama-index-jinaai: bits"), (LLAMA_INDEX, "llama-index-jinaai: unsigned bits"),
    (HAYSTACK, "haystack-openai: meta"),
    (OLLAMA, "ollama: facts"), (OLLAMA, "ollama: nothing"), (OLLAMA, "ollama: cut"), (OLLAMA, "ollama: too long"),
    (OLLAMA, "ollama: list"), (OLLAMA, "ollama: ps"), (OLLAMA, "ollama: show"), (OLLAMA, "ollama: pull"),
    (OLLAMA, "ollama: pull with progress"), (OLLAMA, "ollama: pull of nothing"), (OLLAMA, "ollama: generate"),
    (OLLAMA, "ollama: delete"),
    *(
        (program, f"cohere{what}")
        for program in COHERES
        for what in (
            ": rerank, documents", ": tokens", ": models", ": version", "-v2: every type", "-v2: too long",
        )
    ),
    (VOYAGE, "voyageai: tokens"),
]  # fmt: skip
ALIASES = {"text-embedding-ada-002", "text-embedding-3-small"}


def test_no_client_brings_torch(reports: Reports) -> None:
    packages = next((reports.python.parent.parent / "lib").glob("python3*/site-packages"))
    assert (packages / "openai").is_dir()
    assert not [found.name for found in packages.iterdir() if found.name.split("-")[0] in ("torch", "tensorflow")]


def test_an_empty_text_has_the_vector_of_its_special_tokens(reports: Reports) -> None:
    [vector] = reports.gave(OPENAI, "openai: empty")
    assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-6)
    assert np.abs(np.array(reports.gave(LANGCHAIN, "langchain-openai: empty")) - vector).max() <= 1e-6


@pytest.mark.parametrize(("program", "case"), [(OPENAI, "openai: too long"), (LANGCHAIN, "langchain-openai: too long")])
def test_a_text_that_is_too_long_is_refused_in_openais_words(program: str, case: str, reports: Reports) -> None:
    found = reports.of(program)[case]
    assert "BadRequestError" in found["raised"]
    assert found["status"] == 400
    assert "Please reduce your prompt; or completion length." in found["says"]


def test_models_are_listed_with_their_other_names(reports: Reports) -> None:
    assert {BUNDLED_MODEL, *ALIASES} <= set(reports.gave(OPENAI, "openai: models"))
    assert {f"{BUNDLED_MODEL}:latest"} <= set(reports.gave(OLLAMA, "ollama: list"))
    assert f"{BUNDLED_MODEL}:latest" in reports.gave(OLLAMA, "ollama: ps")


def test_haystack_is_told_model_and_usage(reports: Reports) -> None:
    meta = reports.gave(HAYSTACK, "haystack-openai: meta")
    assert meta["model"]
    assert meta["usage"]["prompt_tokens"] == meta["usage"]["total_tokens"] > 2


def test_jinas_bits_are_the_signs(reports: Reports) -> None:
    vectors = np.array(reports.gave(LLAMA_INDEX, "llama-index-jinaai"))
    sure = np.abs(vectors) > 1e-6
    for case in ("llama-index-jinaai: bits", "llama-index-jinaai: unsigned bits"):
        bits = np.array(reports.gave(LLAMA_INDEX, case)) == 1
        assert np.array_equal(bits[sure], (vectors > 0)[sure])


def test_ollama_is_told_what_it_took(reports: Reports) -> None:
    model, tokens, *nanoseconds = reports.gave(OLLAMA, "ollama: facts")
    assert model == "all-minilm"
    assert tokens > len(TEXTS)
    assert all(isinstance(value, int) and value >= 0 for value in nanoseconds)


def test_ollama_cuts_long_texts_unless_told_not_to(reports: Reports) -> None:
    assert reports.gave(OLLAMA, "ollama: nothing") == []
    assert len(reports.gave(OLLAMA, "ollama: cut")) == 1
    found = reports.of(OLLAMA)["ollama: too long"]
    assert (found["raised"][0], found["status"]) == ("ResponseError", 400)
    assert "context length" in found["says"]


def test_ollama_pulls_what_is_there_and_nothing_else(reports: Reports) -> None:
    assert reports.gave(OLLAMA, "ollama: pull") == "success"
    assert reports.gave(OLLAMA, "ollama: pull with progress")[-1] == "success"
    assert reports.of(OLLAMA)["ollama: pull of nothing"]["raised"][0] == "ResponseError"
    assert reports.gave(OLLAMA, "ollama: show") == ["embedding"]


@pytest.mark.parametrize("case", ["ollama: generate", "ollama: delete"])
def test_ollama_is_refused_what_is_not_offered(case: str, reports: Reports) -> None:
    found = reports.of(OLLAMA)[case]
    assert (found["raised"][0], found["status"]) == ("ResponseError", 403)


@pytest.mark.parametrize("program", COHERES)
def test_coheres_types_are_made_of_the_same_vectors(
    program: str, reports: Reports, in_process_vectors: np.ndarray
) -> None:
    found = reports.gave(program, "cohere-v2: every type")
    exact = np.array(found["float"], np.float32)
    assert np.abs(exact - in_process_vectors).max() <= 1e-6
    assert np.array_equal(np.stack([np.frombuffer(base64.b64decode(row), "<f4") for row in found["base64"]]), exact)
    scaled = exact.astype(np.float64) * 127 * np.sqrt(exact.shape[1]) / 4
    assert np.abs(np.array(found["int8"]) - np.clip(scaled, -127, 127)).max() <= 0.5 + 1e-3
    assert np.array_equal(np.array(found["uint8"]), np.array(found["int8"]) + 128)
    bits = np.packbits(exact > 0, axis=1)
    assert np.array_equal(np.array(found["ubinary"]), bits)
    assert np.array_equal(np.array(found["binary"]), bits.astype(np.int16) - 128)


@pytest.mark.parametrize("program", COHERES)
def test_cohere_is_told_the_rest(program: str, reports: Reports) -> None:
    assert sorted(reports.gave(program, "cohere: rerank, documents")) == sorted(TEXTS)
    assert reports.gave(program, "cohere: tokens")[:3] == ["A", "harbour", "in"]
    assert BUNDLED_MODEL in reports.gave(program, "cohere: models")
    found = reports.of(program)["cohere-v2: too long"]
    assert ("BadRequestError" in found["raised"], found["status"]) == (True, 400)


def test_both_versions_of_cohere_are_what_they_are_said_to_be(reports: Reports) -> None:
    for program, file in ((COHERE, REQUIREMENTS), (COHERE + NEWEST, NEWEST_REQUIREMENTS)):
        assert f"\ncohere=={reports.gave(program, 'cohere: version')}\n" in file.read_text()


def test_voyage_counts_tokens(reports: Reports) -> None:
    assert reports.gave(VOYAGE, "voyageai: tokens") > len(TEXTS)
