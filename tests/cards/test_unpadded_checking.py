"""A card of a model that takes rows unpadded is refused where its parts do not fit, with the key to mend."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tomli_w

from gateway.cards.loading import load_model
from gateway.cards.schema import Model
from gateway.errors import ConfigurationError

REPOSITORY = Path(__file__).parents[2] / "model_repository"
V4, V3, MERGED = "jina-embeddings-v4", "jina-embeddings-v3", "jina-embeddings-v4-vllm-code"
GIVEN, MADE = "inputs", "outputs"

Change = Callable[[dict[str, Any]], object]


def load_changed(tmp_path: Path, name: str, change: Change) -> Model:
    document = tomllib.loads((REPOSITORY / name / "card.toml").read_text(encoding="utf-8"))
    change(document)
    folder = tmp_path / name
    folder.mkdir()
    (folder / "card.toml").write_text(tomli_w.dumps(document), encoding="utf-8")
    return load_model(folder)


def tensor(document: dict[str, Any], kind: str, role: str) -> dict[str, Any]:
    (found,) = [one for one in document["triton"][kind] if one["role"] == role]
    return found  # type: ignore[no-any-return]  # a table of the card


def without(kind: str, *roles: str) -> Change:
    def change(document: dict[str, Any]) -> None:
        document["triton"][kind] = [one for one in document["triton"][kind] if one["role"] not in roles]

    return change


def changed(kind: str, role: str, **values: object) -> Change:
    return lambda document: tensor(document, kind, role).update(values)


def added(kind: str, role: str, dims: list[int], data_type: str = "TYPE_INT32") -> Change:
    one = {"name": f"more_{role}", "data_type": data_type, "dims": dims, "role": role}
    return lambda document: document["triton"][kind].append(one)


def each(*changes: Change) -> Change:
    return lambda document: [change(document) for change in changes]


def put(*path: str, value: object) -> Change:
    def change(document: dict[str, Any]) -> None:
        for key in path[:-1]:
            document = document[key]
        document[path[-1]] = value

    return change


def drop(*path: str) -> Change:
    def change(document: dict[str, Any]) -> None:
        for key in path[:-1]:
            document = document[key]
        del document[path[-1]]

    return change


def a_file(path: str, hub_path: str, **more: object) -> Change:
    return lambda document: document["files"].append({"path": path, "hub_path": hub_path, **more})


@pytest.mark.parametrize(
    ("name", "change", "key"),
    [
        (V4, without(GIVEN, "row_lengths"), "triton.inputs"),
        (V4, changed(GIVEN, "token_ids", dims=[-1, -1]), "triton.inputs"),
        (V4, changed(GIVEN, "token_ids", data_type="TYPE_INT64"), "triton.inputs"),
        (V4, changed(GIVEN, "row_lengths", optional=True), "triton.inputs"),
        (V4, changed(GIVEN, "pixels", optional=False), "triton.inputs"),
        (V4, changed(GIVEN, "pixels", data_type="TYPE_INT32"), "triton.inputs"),
        (V4, changed(GIVEN, "pixels", dims=[-1, 3]), "triton.inputs"),
        (V4, changed(GIVEN, "image_sizes", dims=[-1]), "triton.inputs"),
        (V4, changed(GIVEN, "spans", dims=[-1]), "triton.inputs"),
        (V4, without(GIVEN, "pixels"), "triton.inputs"),
        (V4, without(GIVEN, "image_sizes"), "triton.inputs"),
        (V4, without(GIVEN, "spans"), "triton.inputs"),
        (V4, without(GIVEN, "span_counts"), "triton.inputs"),
        (V4, without(GIVEN, "spans", "span_counts"), "triton.outputs"),
        (V4, added(GIVEN, "attention_mask", [-1]), "triton.inputs"),
        (V4, added(GIVEN, "adapter", [1]), "triton.inputs"),
        (V4, without(MADE, "row_status"), "triton.outputs"),
        (V4, without(MADE, "span_sums"), "triton.outputs"),
        (V4, without(MADE, "sentence_embedding"), "triton.outputs"),
        (V4, changed(MADE, "row_status", data_type="TYPE_FP32"), "triton.outputs"),
        (V4, changed(MADE, "sentence_embedding", data_type="TYPE_BF16"), "triton.outputs"),
        (V4, changed(MADE, "token_vectors", dims=[-1, 129]), "triton.outputs"),
        (V4, added(MADE, "token_embeddings", [-1, -1, 2048], "TYPE_FP32"), "triton.outputs"),
        (V4, without(MADE, "token_vectors"), "vectors.token_dimensions"),
        (V4, drop("vectors", "token_dimensions"), "vectors.token_dimensions"),
        (MERGED, put("vectors", "token_dimensions", value=128), "vectors.token_dimensions"),
        (V4, drop("images"), "triton.inputs"),
        (V4, put("images", "max_pixels", value=3135), "images.max_pixels"),
        (V4, each(put("images", "min_pixels", value=1), put("images", "max_pixels", value=783)), "images.max_pixels"),
        (V4, put("images", "pad_token", value="<|pad|>"), "images.prompt"),
        (V4, put("triton", "instance_count", value=2), "triton.instance_count"),
        (V4, put("graph", value={"builder": "serving"}), "graph"),
        (V4, a_file("1/pytorch_model.bin", "pytorch_model.bin"), "files.path"),
        (V4, a_file("1/modeling.py", "modeling.py"), "files.path"),
        (V4, a_file("1/a.json", "a.json", lists_shards=True), "files.path"),
        (V4, a_file("1/a.safetensors.index.json", "a.json", lists_shards=True), "files.path"),
        (MERGED, put("tasks", "list", value=[{"name": "code.query", "prompt": "Query: "}]), "tasks.default"),
        (MERGED, lambda document: document["tasks"]["list"][0].pop("adapter"), "tasks.list"),
        (V3, added(GIVEN, "row_adapters", [-1]), "triton.inputs"),
        (V3, added(GIVEN, "pixels", [-1], "TYPE_UINT8"), "triton.inputs"),
        (V3, changed(GIVEN, "token_ids", optional=True), "triton.inputs"),
        (V3, added(MADE, "row_status", [-1]), "triton.inputs"),
    ],
)
def test_a_card_whose_parts_do_not_fit_names_the_key(tmp_path: Path, name: str, change: Change, key: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load_changed(tmp_path, name, change)
    assert f"card.toml: {key} has to be " in caught.value.message


@pytest.mark.parametrize("name", [V4, V3, MERGED])
def test_unchanged_they_load(tmp_path: Path, name: str) -> None:
    assert load_changed(tmp_path, name, lambda _: None).name == name


def test_a_model_without_images_spans_and_adapters_is_one_too(tmp_path: Path) -> None:
    change = each(
        drop("images"),
        without(GIVEN, "pixels", "image_sizes", "spans", "span_counts", "row_adapters"),
        without(MADE, "span_sums"),
        drop("tasks"),
    )
    assert load_changed(tmp_path, MERGED, change).card.triton.takes_rows_unpadded
