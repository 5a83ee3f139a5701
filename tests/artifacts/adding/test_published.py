"""Reading a repository's small files: what is not there, and what is not what it should be."""

from __future__ import annotations

import pytest

from gateway.artifacts.adding.published import joined
from gateway.artifacts.adding.refusal import CannotServe
from tests.support.published import published


def test_a_document_that_is_not_there_is_none() -> None:
    assert published({}).document("config.json") is None
    assert published({}).documents("modules.json") is None


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"[1]", b"null", b"[" * 100_000])
def test_a_document_that_is_none_is_told_by_its_path(content: bytes) -> None:
    with pytest.raises(CannotServe, match=r"The repository's a/config\.json cannot be understood"):
        published({"a/config.json": content}).document("a/config.json")


@pytest.mark.parametrize("content", [b"{}", b"[1]", b'[{}, "x"]'])
def test_a_list_of_documents_that_is_none_is_told(content: bytes) -> None:
    with pytest.raises(CannotServe, match="no list of JSON objects"):
        published({"modules.json": content}).documents("modules.json")


def test_files_are_found_by_path_and_ending() -> None:
    given = published({"b.onnx": b"xx", "a/c.onnx": b"", "d.onnx_data": b""})
    assert given.paths(".onnx") == ("a/c.onnx", "b.onnx")
    assert (given.size_of("b.onnx"), given.size_of("nope")) == (2, None)
    assert (joined("", "x"), joined("a", "x")) == ("x", "a/x")
