"""Paths with a slash too many, of base URLs that end in one: answered like those without, by whom they belong to."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from tests.support.edge import Edge, check_error, edge


@pytest.fixture(scope="module")
def shared() -> Iterator[Edge]:
    with edge() as running:
        yield running


def post(running: Edge, path: str, **fields: object) -> httpx.Response:
    return running.client.post(f"http://testserver{path}", json=fields, follow_redirects=False)


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("//embed", {"inputs": "a"}), ("//v1/embeddings", {"input": "a"}), ("/v1//embeddings/", {"input": "a"}),
        ("/v1///rerank", {"query": "q", "documents": ["a"]}), ("//api//embed", {"input": "a"}),
        ("//", {"inputs": "a"}),
    ],
)  # fmt: skip
def test_a_slash_too_many_changes_nothing(shared: Edge, path: str, fields: dict[str, object]) -> None:
    assert post(shared, path, **fields).status_code == 200


def test_nor_does_it_where_the_path_holds_a_name(shared: Edge) -> None:
    assert shared.client.get("http://testserver//v1//models//acme//Tiny-Model").json()["id"] == "tiny"


def test_errors_are_in_the_words_of_the_same_api(shared: Edge) -> None:
    assert set(post(shared, "//api//embed", input=1).json()) == {"error"}
    assert set(post(shared, "//embed", inputs=1).json()) == {"error", "error_type"}
    assert set(post(shared, "//api//none").json()) == {"error"}
    check_error(post(shared, "//nope"), 404)


def test_a_slash_too_many_opens_nothing() -> None:
    with edge(api_keys=("right",)) as running:
        for path in ("//metrics", "//v1/models", "//health"):
            check_error(running.client.get(f"http://testserver{path}"), 401)
        assert running.client.get("/health").status_code == 200
