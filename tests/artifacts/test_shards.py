"""An index of weights comes from outside: it names files beside itself, of one harmless kind, or it is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save_file

from gateway.artifacts.shards import (
    MAX_INDEX_BYTES,
    MAX_SHARDS,
    check_shards,
    indexes_of,
    read_index,
    shards_of,
    shards_on_disk,
    single_file,
)
from gateway.cards.loading import load_card
from gateway.cards.schema import Card, FileSpec
from gateway.errors import ArtifactError

V4 = load_card(Path(__file__).parents[2] / "model_repository" / "jina-embeddings-v4")
(INDEX,) = indexes_of(V4.files)
TWO = {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}


@pytest.fixture
def card(tmp_path: Path) -> Card:
    (tmp_path / "1").mkdir()
    return replace(V4, folder=tmp_path)


def write(card: Card, document: object) -> Path:
    path = card.path_of(INDEX.path)
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


def test_the_files_that_an_index_names_lie_beside_it(card: Card) -> None:
    write(card, {"metadata": {"total_size": 8}, "weight_map": {**TWO, "c": TWO["a"]}})
    assert shards_of(card, INDEX) == tuple(
        FileSpec(path=f"1/{name}", hub_path=name) for name in sorted(set(TWO.values()))
    )


def test_an_index_in_a_folder_of_the_repository_names_files_in_that_folder(card: Card) -> None:
    write(card, {"weight_map": TWO})
    inner = replace(INDEX, hub_path="merged/model.safetensors.index.json")
    assert [shard.hub_path for shard in shards_of(card, inner)] == [f"merged/{name}" for name in TWO.values()]


def test_what_the_card_pins_of_a_file_counts(card: Card) -> None:
    write(card, {"weight_map": TWO})
    pinned = FileSpec(path=f"1/{TWO['a']}", hub_path=TWO["a"], size_bytes=5, sha256="a" * 64)
    assert shards_of(replace(card, files=(*card.files, pinned)), INDEX)[0] == pinned


@pytest.mark.parametrize(
    "name",
    [
        "../model.safetensors",
        "/etc/model.safetensors",
        "adapters/adapter_model.safetensors",
        "a\\b.safetensors",
        ".hidden.safetensors",
        "pytorch_model.bin",
        "model.safetensors.pkl",
        "model.pt",
        "safetensors",
        "files.lock.json",
        "",
        "é.safetensors",
        "a\n.safetensors",
        "a.safetensors\n",
        "a" * 200 + ".safetensors",
        7,
        None,
        ["model.safetensors"],
    ],
)
def test_a_name_that_is_no_plain_file_of_weights_is_refused(card: Card, name: object) -> None:
    write(card, {"weight_map": {**TWO, "c": name}})
    with pytest.raises(ArtifactError, match=r"names weights in what is no \.safetensors file beside it"):
        shards_of(card, INDEX)
    assert shards_on_disk(card, INDEX) == ()


@pytest.mark.parametrize("document", [[], {}, {"weight_map": []}, {"weight_map": {}}, {"weight_map": None}, 3, "x"])
def test_what_is_no_index_is_refused(card: Card, document: object) -> None:
    with pytest.raises(ArtifactError, match="has no weight_map"):
        read_index(write(card, document))


@pytest.mark.parametrize("data", [b"", b"{", b"\xff\xfe", b"[" * 200_000])
def test_what_is_no_json_is_refused(card: Card, data: bytes) -> None:
    path = card.path_of(INDEX.path)
    path.write_bytes(data)
    with pytest.raises(ArtifactError, match="is not JSON"):
        read_index(path)


@given(data=st.binary(max_size=200))
def test_bytes_of_any_kind_are_refused_in_words(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any.index.json"
    path.write_bytes(data)
    with pytest.raises(ArtifactError, match="index of the weights"):
        read_index(path)


def test_an_index_of_too_many_files_is_refused(card: Card) -> None:
    names = {str(place): f"m{place}.safetensors" for place in range(MAX_SHARDS + 1)}
    with pytest.raises(ArtifactError, match=f"more than {MAX_SHARDS} files"):
        read_index(write(card, {"weight_map": names}))
    names.popitem()
    assert len(read_index(write(card, {"weight_map": names}))) == MAX_SHARDS


def test_an_index_that_is_too_large_is_not_read(card: Card) -> None:
    path = card.path_of(INDEX.path)
    with path.open("wb") as file:
        file.truncate(MAX_INDEX_BYTES + 1)
    with pytest.raises(ArtifactError, match="at most 16777216 are read"):
        read_index(path)


def test_a_missing_index_names_nothing(card: Card) -> None:
    assert shards_on_disk(card, INDEX) == ()
    with pytest.raises(ArtifactError, match="cannot be read: No such file"):
        shards_of(card, INDEX)


def test_without_an_index_all_is_in_one_file() -> None:
    assert single_file(INDEX) == FileSpec(path="1/model.safetensors", hub_path="model.safetensors")


def test_every_tensor_has_to_be_in_its_file(card: Card) -> None:
    write(card, {"weight_map": TWO})
    for tensor, name in TWO.items():
        save_file({tensor: np.zeros(1, dtype=np.float32)}, card.path_of(f"1/{name}"))
    check_shards(card, INDEX)
    write(card, {"weight_map": {"b": TWO["a"], "a": TWO["b"]}})
    with pytest.raises(ArtifactError, match=r"lacks 1 of the tensors that .* says it has"):
        check_shards(card, INDEX)
    card.path_of(f"1/{TWO['a']}").write_bytes(b"\x80\x04pickle, say")
    with pytest.raises(ArtifactError, match="is not a safetensors file"):
        check_shards(card, INDEX)
