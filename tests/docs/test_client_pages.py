"""Every block of docs/clients works as printed: with the clients' own packages, against the running gateway in front of
a real Triton, and with PostgreSQL and Qdrant where a page keeps vectors there.

What cannot be installed, Elasticsearch and Open WebUI, is stood in for by what it puts on the wire.
"""

from __future__ import annotations

import dataclasses
import json
import re
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import numpy as np
import pytest

from gateway.app import create_app
from gateway.settings import Settings
from tests.conftest import REPOSITORY, VOCABULARIES, ServedTriton, need
from tests.contract.client_parsers import floats_in_order, ranking
from tests.support.client_environment import (
    NEWEST,
    NEWEST_FOLDER,
    REQUIREMENTS,
    ClientEnvironmentError,
    client_python,
    client_variables,
)
from tests.support.code_blocks import CLIENT_MARKS, ROOT, Block, blocks_of, expected_output
from tests.support.elasticsearch_console import Console
from tests.support.live_server import live_server
from tests.support.node_environment import PACKAGES, RUN_SECONDS, Node, NodeEnvironmentError, client_node
from tests.support.telling import past_capture

FOLDER = ROOT / "docs/clients"
INDEX = FOLDER / "README.md"
PAGES = sorted(FOLDER.glob("*.md"))
BLOCKS = [block for page in PAGES for block in blocks_of(page)]
DOCUMENTED = "http://localhost:8000"
# Pages of packages that other clients want in an older version than `pip install` brings.
NEWEST_NAMES = {line.partition("==")[0] for line in NEWEST.read_text().splitlines() if "==" in line}
INSTALLING = (pytest.mark.network, pytest.mark.triton, pytest.mark.timeout(1800))
# Matryoshka sizes of the full models, and what the twins have in their place.
SIZES = {"256": "16", "1024": "@native"}
POSTGRES = """
import sys, pgserver
server = pgserver.get_server(sys.argv[1])
print(server.get_uri(), flush=True)
sys.stdin.read()
"""


def marked(mark: str) -> list[Any]:
    found = [block for block in BLOCKS if block.mark == mark]
    assert found, mark
    return [pytest.param(block, id=str(block), marks=INSTALLING) for block in found]


@dataclass(frozen=True)
class Programs:
    """What runs the blocks: the clients' Python and Node, and an environment that lets none of them call elsewhere."""

    python: Path
    node: Node
    environment: Mapping[str, str]

    def run(self, block: Block, *, url: str, **environment: str) -> str:
        """The block's standard output. Fails the test when a line of it fails."""
        code = block.code.replace(DOCUMENTED, url)
        assert "localhost:8000" not in code
        values = {**self.environment, **environment}
        if block.page.stem in NEWEST_NAMES:
            values["PYTHONPATH"] = str(NEWEST_FOLDER)
        if block.language == "javascript":
            result = self.node.run(code, environment=values)
        else:
            shell = ["bash", "-euo", "pipefail", "-c"]
            command = [self.python, "-c"] if block.language == "python" else shell
            result = subprocess.run(
                [*command, code], env=values, stdin=subprocess.DEVNULL, capture_output=True,
                text=True, timeout=RUN_SECONDS, check=False,
            )  # fmt: skip
        assert result.returncode == 0, f"{block}\n{result.stdout}\n{result.stderr}"
        return result.stdout


@pytest.fixture(scope="module")
def programs(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Programs:
    tell = past_capture(pytestconfig)
    vocabulary = VOCABULARIES / "cl100k_base.tiktoken"
    need(None if vocabulary.is_file() else "cl100k_base is not installed; gateway models pull cl100k_base")
    try:
        return Programs(client_python(tell), client_node(tell), client_variables(tmp_path_factory.mktemp("home")))
    except (ClientEnvironmentError, NodeEnvironmentError) as error:
        need(str(error))
        raise


def documented_aliases() -> str:
    [aliases] = re.findall(r"^GATEWAY_MODEL_ALIASES=(\S+)$", INDEX.read_text(), re.MULTILINE)
    return str(aliases)


@pytest.fixture(scope="module")
def url(embedded_triton: ServedTriton) -> Iterator[str]:
    """Of a gateway that serves the bundled model under the names that the pages give it."""
    settings = Settings(
        _env_file=None,  # type: ignore[call-arg]
        triton_url=embedded_triton.grpc,
        triton_http_url=embedded_triton.http,
        model_repository=REPOSITORY,
        vocabulary_folder=VOCABULARIES,
        model_aliases=documented_aliases(),  # type: ignore[arg-type]
    )
    with live_server(settings, create_app(settings)) as server:
        server.wait_until_ready()
        yield server.url


@contextmanager
def postgres(python: Path, folder: Path) -> Iterator[str]:
    """The address of a PostgreSQL with pgvector that ends with the block."""
    command: list[str | Path] = [python, "-c", POSTGRES, folder]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        try:
            assert address.startswith("postgresql://"), "PostgreSQL did not start"
            yield address
        finally:
            process.stdin.close()
            process.wait(60)


@pytest.fixture(scope="module")
def database(programs: Programs, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with postgres(programs.python, tmp_path_factory.mktemp("postgres") / "data") as address:
        yield address


def for_twins(block: Block, client: httpx.Client) -> Block:
    """The block with sizes that the twins have."""
    native = {model["id"]: model.get("dimensions") for model in client.get("/v1/models").json()["data"]}
    sizes = SIZES | {"1024": str(native["jina-embeddings-v3"])}
    return dataclasses.replace(block, code=re.sub(r"\b(256|1024)\b", lambda one: sizes[one[1]], block.code))


@pytest.fixture(scope="module")
def twins(twin_gateway_url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=twin_gateway_url, timeout=60) as client:
        yield client


def check_printed(block: Block, printed: str) -> None:
    expected = expected_output(block)
    assert printed.strip()
    assert expected is None or printed == expected


@pytest.mark.parametrize("block", marked("run: client"))
def test_works_as_printed(block: Block, programs: Programs, url: str) -> None:
    check_printed(block, programs.run(block, url=url))


@pytest.mark.parametrize("block", marked("run: client twins"))
def test_works_with_models_that_have_tasks(block: Block, programs: Programs, twins: httpx.Client) -> None:
    check_printed(block, programs.run(for_twins(block, twins), url=address_of(twins)))


@pytest.mark.parametrize("block", marked("run: client postgres"))
def test_works_with_a_database(block: Block, programs: Programs, url: str, database: str) -> None:
    check_printed(block, programs.run(block, url=url, DATABASE_URL=database))


@pytest.mark.parametrize("block", marked("run: client postgres twins"))
def test_works_with_a_database_and_tasks(block: Block, programs: Programs, twins: httpx.Client, database: str) -> None:
    check_printed(block, programs.run(for_twins(block, twins), url=address_of(twins), DATABASE_URL=database))


def address_of(client: httpx.Client) -> str:
    return str(client.base_url).rstrip("/")


def embedded(client: httpx.Client, model: str, text: str, **fields: Any) -> np.ndarray:
    answer = client.post("/v1/embeddings", json={"model": model, "input": text, **fields})
    assert answer.status_code == 200, answer.text
    return np.array(answer.json()["data"][0]["embedding"], np.float32)


@pytest.mark.triton
def test_what_elasticsearch_would_send_gets_the_vectors_that_the_page_promises(twins: httpx.Client) -> None:
    blocks = [for_twins(block, twins) for block in BLOCKS if block.mark == "checked: elasticsearch"]
    console = Console(twins, address=DOCUMENTED)
    searches = [hits for block in blocks for hits in console.run(block.code)]
    assert [{hit.id for hit in hits} for hits in searches] == [{"1", "2"}, {"1"}, {"1", "2"}]

    model, size = "jina-embeddings-v5-text-nano", int(SIZES["256"])
    for index, side in (("articles", "text of the pipeline"), ("semantic-articles", "name of the model")):
        for number, document in console.indices[index].documents.items():
            expected = embedded(twins, model, document["content"], task="retrieval.passage", dimensions=size)
            assert np.array_equal(console.indices[index].vectors[number], expected), side
    query = embedded(twins, model, "Where are the boats?", task="retrieval.query", dimensions=size)
    other = embedded(twins, model, "Where are the boats?", task="retrieval.passage", dimensions=size)
    assert not np.allclose(query, other, atol=1e-3)
    assert len(console.query_vectors) == len(searches)
    for found in console.query_vectors:
        assert np.array_equal(found, query)
    scores = [hit.score for hit in searches[-1]]
    assert scores == sorted(scores, reverse=True)


def open_webui_settings() -> dict[str, str]:
    [block] = [block for block in BLOCKS if block.mark == "checked: open-webui"]
    lines = [line for line in block.code.splitlines() if line and not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


@pytest.mark.triton
@pytest.mark.parametrize("side", ["QUERY", "CONTENT"])
def test_what_open_webui_would_send_gets_the_vectors_of_the_right_task(twins: httpx.Client, side: str) -> None:
    values = open_webui_settings()
    assert values["RAG_EMBEDDING_ENGINE"] == "openai"
    texts = ["Ships wait in the harbour.", "Cats sleep a lot."]
    model = values["RAG_EMBEDDING_MODEL"]
    prefix = {values["RAG_EMBEDDING_PREFIX_FIELD_NAME"]: values[f"RAG_EMBEDDING_{side}_PREFIX"]}
    answer = twins.post(
        values["RAG_OPENAI_API_BASE_URL"].removeprefix(DOCUMENTED) + "/embeddings",
        json={"input": texts, "model": model, **prefix},
        headers={"Authorization": f"Bearer {values['RAG_OPENAI_API_KEY']}"},
    )
    expected = {"QUERY": "retrieval.query", "CONTENT": "retrieval.passage"}[side]
    for text, vector in zip(texts, floats_in_order(answer), strict=True):
        assert np.allclose(vector, embedded(twins, model, text, task=expected), atol=1e-6)


@pytest.mark.triton
def test_what_open_webui_would_send_to_a_reranker_gets_a_score_for_every_document(twins: httpx.Client) -> None:
    values = open_webui_settings()
    assert values["RAG_RERANKING_ENGINE"] == "external"
    documents = ["Ships wait in the harbour.", "Cats sleep a lot.", ""]
    body = {"model": values["RAG_RERANKING_MODEL"], "query": "Where are the boats?", "documents": documents}
    answer = twins.post(
        values["RAG_EXTERNAL_RERANKER_URL"].removeprefix(DOCUMENTED),
        json={**body, "top_n": len(documents)},
        headers={"Authorization": f"Bearer {values['RAG_EXTERNAL_RERANKER_API_KEY']}"},
    )
    assert sorted(ranking(answer).indices) == [0, 1, 2]


def test_every_block_is_for_one_of_the_tests_here() -> None:
    assert {block.mark for block in BLOCKS} >= CLIENT_MARKS
    assert not [str(block) for block in BLOCKS if block.mark.startswith("run: stack")]


def test_every_page_is_in_the_list_of_pages() -> None:
    assert set(re.findall(r"^\| \[[^\]]+\]\((\S+)\)", INDEX.read_text(), re.MULTILINE)) == {
        page.name for page in PAGES if page != INDEX
    }


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_packages_that_a_page_names_are_those_that_its_blocks_run_with(page: Path) -> None:
    text = page.read_text()
    pinned = {line.partition("==")[0] for line in REQUIREMENTS.read_text().splitlines() if "==" in line}
    for command in re.findall(r"`pip install ([^`]+)`", text):
        assert set(command.split()) <= pinned, command
    dependencies = json.loads(PACKAGES[0].read_text())["dependencies"]
    for command in re.findall(r"`npm install ([^`]+)`", text):
        assert set(command.split()) <= set(dependencies), command
    assert all(re.fullmatch(r"\d[\d.]*", version) for version in dependencies.values())


def test_addresses_are_all_those_of_the_usual_port() -> None:
    for page in PAGES:
        for address in re.findall(r"http://localhost:\d+", page.read_text()):
            assert urlsplit(address).port in (8000, 6333), page.name
