"""A graph's data files: inside its folder, there, and long enough."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from gateway.artifacts.adding.published_data import data_locations
from gateway.artifacts.adding.refusal import CannotServe
from gateway.artifacts.graphs.published_graph import read_published
from tests.support.published import published
from tests.support.small_graphs import with_signature
from tests.support.twins.wiring import single_file


def pointing_at(location: str, *, length: int = 128, offset: int | str = 0) -> bytes:
    model = with_signature()
    (table,) = model.graph.initializer
    table.ClearField("raw_data")
    table.data_location = onnx.TensorProto.EXTERNAL
    for key, text in (("location", location), ("offset", offset), ("length", length)):
        table.external_data.add(key=key, value=str(text))
    return single_file(model)


def locations(tmp_path: Path, graph: bytes, files: dict[str, bytes]) -> tuple[str, ...]:
    path = tmp_path / "model.onnx"
    path.write_bytes(graph)
    return data_locations(read_published(path), "onnx/model.onnx", published(dict(files)))


@pytest.mark.parametrize("name", ["model.onnx_data", "weights/part.bin", "./model.onnx_data"])
def test_files_beside_the_graph_are_listed(tmp_path: Path, name: str) -> None:
    path = name.removeprefix("./")
    assert locations(tmp_path, pointing_at(name), {f"onnx/{path}": bytes(128)}) == (path,)


def test_a_graph_that_holds_its_weights_needs_no_other_file(tmp_path: Path) -> None:
    large = with_signature()
    large.graph.initializer[0].CopyFrom(numpy_helper.from_array(np.ones((4, 800), np.float32), "table"))
    assert locations(tmp_path, single_file(large), {}) == ()


@pytest.mark.parametrize(
    "location", ["/etc/passwd", "../secret.bin", "a/../../secret.bin", "..\\secret.bin", "C:secret.bin", ""]
)
def test_a_way_out_of_the_folder_is_refused(tmp_path: Path, location: str) -> None:
    with pytest.raises(CannotServe, match=r"onnx/model\.onnx wants weights from .* outside its own folder"):
        locations(tmp_path, pointing_at(location), {"secret.bin": bytes(128), "onnx/secret.bin": bytes(128)})


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CannotServe, match=r"needs onnx/model\.onnx_data, which the repository does not have"):
        locations(tmp_path, pointing_at("model.onnx_data"), {"model.onnx_data": bytes(128)})


def test_a_file_that_only_points_to_another_is_too_short(tmp_path: Path) -> None:
    with pytest.raises(CannotServe, match=r"needs 192 bytes of onnx/model\.onnx_data, which has 13"):
        locations(tmp_path, pointing_at("model.onnx_data", offset=64), {"onnx/model.onnx_data": b"../secret.bin"})


def test_a_place_that_is_no_number_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CannotServe, match="table does not say where"):
        locations(tmp_path, pointing_at("model.onnx_data", offset="x"), {"onnx/model.onnx_data": bytes(128)})
