"""A published graph without its weights: where they are said to lie is where they lie."""

from __future__ import annotations

import tracemalloc
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from gateway.artifacts.graphs.external_data import data_faults, data_files, is_inside
from gateway.artifacts.graphs.published_graph import entries_of, external_tensors, read_published
from gateway.artifacts.graphs.wire import written
from gateway.errors import ArtifactError
from tests.support.graphs import graph, value

MIB = 1 << 20
RANDOM = np.random.default_rng(0)
WIDE = RANDOM.normal(size=(16, 32)).astype(np.float32)
NARROW = RANDOM.normal(size=(32, 16)).astype(np.float32)


def product() -> onnx.ModelProto:
    """y = x WIDE NARROW + 1; WIDE and NARROW are large enough to be left where they are, 1 is not."""
    nodes = [
        helper.make_node("MatMul", ["x", "wide"], ["a"]),
        helper.make_node("MatMul", ["a", "narrow"], ["b"]),
        helper.make_node("Add", ["b", "one"], ["y"]),
    ]
    weights = {"wide": WIDE, "narrow": NARROW, "one": np.ones(1, np.float32)}
    return graph(nodes, [value("x", ["n", 16])], [value("y", ["n", 16])], weights)


def save(model: onnx.ModelProto, folder: Path, name: str = "model.onnx") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_bytes(model.SerializeToString())
    return path


def outputs(path: Path, feeds: dict[str, np.ndarray]) -> Sequence[np.ndarray]:
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"]).run(None, feeds)


def test_the_light_graph_computes_the_same_from_the_published_bytes(tmp_path: Path) -> None:
    path = save(product(), tmp_path)
    before = path.read_bytes()
    light = save(read_published(path), tmp_path, "light.onnx")
    feeds = {"x": RANDOM.normal(size=(3, 16)).astype(np.float32)}
    assert np.array_equal(outputs(light, feeds)[0], outputs(path, feeds)[0])
    assert path.read_bytes() == before
    assert light.stat().st_size < 1024 < WIDE.nbytes


def test_places_are_those_of_the_bytes_and_small_tensors_stay(tmp_path: Path) -> None:
    path = save(product(), tmp_path)
    data, model = path.read_bytes(), read_published(path)
    external = {tensor.name: entries_of(tensor) for tensor in external_tensors(model.graph)}
    assert set(external) == {"wide", "narrow"}
    for name, array in (("wide", WIDE), ("narrow", NARROW)):
        place = external[name]
        start = int(place["offset"])
        assert place["location"] == "model.onnx"
        assert data[start : start + int(place["length"])] == array.tobytes()
    one = next(tensor for tensor in model.graph.initializer if tensor.name == "one")
    assert numpy_helper.to_array(one) == 1.0


def test_weights_in_typed_fields_stay_in_the_graph(tmp_path: Path) -> None:
    model = product()
    for tensor in model.graph.initializer:
        if tensor.name == "wide":
            tensor.ClearField("raw_data")
            tensor.float_data.extend(WIDE.ravel().tolist())
    path = save(model, tmp_path)
    assert {tensor.name for tensor in external_tensors(read_published(path).graph)} == {"narrow"}
    light = save(read_published(path), tmp_path, "light.onnx")
    feeds = {"x": RANDOM.normal(size=(2, 16)).astype(np.float32)}
    assert np.array_equal(outputs(light, feeds)[0], outputs(path, feeds)[0])


def test_large_constants_in_nodes_are_left_where_they_are_too(tmp_path: Path) -> None:
    """As external data of a node, ONNX Runtime would not find them."""
    changed = product()
    wide = next(tensor for tensor in changed.graph.initializer if tensor.name == "wide")
    nodes = [helper.make_node("Constant", [], ["wide"], value=wide), *changed.graph.node]
    changed.graph.initializer.remove(wide)
    changed.graph.ClearField("node")
    changed.graph.node.extend(nodes)
    path = save(changed, tmp_path)
    light = read_published(path)
    assert "Constant" not in {node.op_type for node in light.graph.node}
    assert {tensor.name for tensor in external_tensors(light.graph)} == {"wide", "narrow"}
    feeds = {"x": RANDOM.normal(size=(2, 16)).astype(np.float32)}
    assert np.array_equal(outputs(save(light, tmp_path, "light.onnx"), feeds)[0], outputs(path, feeds)[0])


def test_external_data_stays_as_it_was_stated(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    onnx.save(product(), path, save_as_external_data=True, location="weights.bin", size_threshold=1024)
    stated, read = onnx.load(path, load_external_data=False), read_published(path)
    assert [*external_tensors(read.graph)] == [*external_tensors(stated.graph)]
    assert len([*external_tensors(read.graph)]) == 2
    assert data_files(path) == ("weights.bin",)


def in_a_branch(tensor: TensorProto) -> onnx.ModelProto:
    """A graph whose one large tensor is inside a branch."""
    then = helper.make_graph([helper.make_node("Identity", ["w"], ["t"])], "then", [], [value("t", [16, 32])], [tensor])
    zero = numpy_helper.from_array(np.zeros((16, 32), np.float32), "z")
    other = helper.make_graph([helper.make_node("Identity", ["z"], ["e"])], "else", [], [value("e", [16, 32])], [zero])
    node = helper.make_node("If", ["c"], ["y"], then_branch=then, else_branch=other)
    body = helper.make_graph([node], "g", [value("c", [], TensorProto.BOOL)], [value("y", [16, 32])])
    return helper.make_model(body, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def test_weights_inside_branches_stay_and_their_places_are_seen(tmp_path: Path) -> None:
    path = save(in_a_branch(numpy_helper.from_array(WIDE, "w")), tmp_path)
    assert list(external_tensors(read_published(path).graph)) == []
    away = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=WIDE.shape, data_location=TensorProto.EXTERNAL)
    away.external_data.add(key="location", value="../../secret")
    path = save(in_a_branch(away), tmp_path, "away.onnx")
    with pytest.raises(ArtifactError, match=r"'\.\./\.\./secret', outside its own folder"):
        data_files(path)


@pytest.mark.parametrize(
    "location", ["../w.bin", "/etc/passwd", "a/../../w.bin", "", "..", "C:\\w.bin", "a\\b", "c:w.bin", "w\0.bin"]
)
def test_data_outside_the_folder_is_refused(tmp_path: Path, location: str) -> None:
    assert not is_inside(location)
    model = read_published(save(product(), tmp_path, "source.onnx"))
    for entry in model.graph.initializer[0].external_data:
        if entry.key == "location":
            entry.value = location
    with pytest.raises(ArtifactError, match="outside its own folder"):
        data_files(save(model, tmp_path))


def test_a_second_location_cannot_hide_behind_the_first(tmp_path: Path) -> None:
    """Readers differ in which of two they take."""
    model = read_published(save(product(), tmp_path, "source.onnx"))
    entries = model.graph.initializer[0].external_data
    entries.insert(0, onnx.StringStringEntryProto(key="location", value="../w.bin"))
    with pytest.raises(ArtifactError, match="outside its own folder"):
        data_files(save(model, tmp_path))


@pytest.mark.parametrize("location", ["w.bin", "data/w.bin", "model.onnx_data", "..w"])
def test_data_below_the_folder_is_read_by_onnx_runtime_too(tmp_path: Path, location: str) -> None:
    assert is_inside(location)
    source = save(product(), tmp_path, "source.onnx")
    data = tmp_path / location
    data.parent.mkdir(exist_ok=True)
    data.write_bytes(source.read_bytes())
    model = read_published(source, own_name=location)
    path = save(model, tmp_path)
    assert data_files(path) == (location,)
    assert list(data_faults(tmp_path, model)) == []
    feeds = {"x": RANDOM.normal(size=(2, 16)).astype(np.float32)}
    assert np.array_equal(outputs(path, feeds)[0], outputs(source, feeds)[0])


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_links_are_faults_as_they_are_for_onnx_runtime(tmp_path: Path, kind: str) -> None:
    source = save(product(), tmp_path / "elsewhere", "w.bin")
    own = tmp_path / "own"
    own.mkdir()
    model = read_published(source, own_name="data/w.bin")
    if kind == "folder":
        (own / "data").symlink_to(source.parent)
    else:
        (own / "data").mkdir()
        (own / "data" / "w.bin").symlink_to(source)
    assert "symbolic link" in next(data_faults(own, model))
    with pytest.raises(Exception, match="External data"):
        outputs(save(model, own), {"x": np.ones((1, 16), np.float32)})


@pytest.mark.parametrize("data", [b"", b"not a graph", b"\x08\x08", b"\x3a\x7f"])
def test_what_is_no_graph_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "model.onnx").write_bytes(data)
    with pytest.raises(ArtifactError, match="not an ONNX graph"):
        read_published(tmp_path / "model.onnx")


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="cannot be read"):
        read_published(tmp_path / "model.onnx")


def test_gigabytes_are_not_loaded(tmp_path: Path) -> None:
    """A tensor of 3 GiB, in a file that takes no room: its bytes are never written."""
    size = 3 << 30
    model = product()
    others = b"".join(written(5, tensor.SerializeToString()) for tensor in model.graph.initializer[1:])
    tensor = TensorProto(name="wide", data_type=TensorProto.FLOAT, dims=[16, size // 64])
    head = tensor.SerializeToString() + written(9, b"")[:1] + varint(size)
    del model.graph.initializer[:]
    rest = model.graph.SerializeToString() + others
    initializer = b"\x2a" + varint(len(head) + size) + head
    path = tmp_path / "model.onnx"
    with path.open("wb") as file:
        file.write(b"\x3a" + varint(len(rest) + len(initializer) + size) + rest + initializer)
        file.truncate(file.tell() + size)
    tracemalloc.start()
    light = read_published(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < MIB
    (place,) = [entries_of(one) for one in light.graph.initializer if one.name == "wide"]
    assert int(place["offset"]) + int(place["length"]) == path.stat().st_size
    assert int(place["length"]) == size


def varint(number: int) -> bytes:
    out = b""
    while number > 127:
        out += bytes([number & 127 | 128])
        number >>= 7
    return out + bytes([number])


def _function(name: str, *calls: str) -> onnx.FunctionProto:
    names = ["x", *(f"v{place}" for place in range(1, len(calls))), "y"]
    nodes = [helper.make_node(call, [names[i]], [names[i + 1]], domain="own") for i, call in enumerate(calls)]
    nodes = nodes or [helper.make_node("Identity", ["x"], ["y"])]
    return helper.make_function("own", name, ["x"], ["y"], nodes, [helper.make_opsetid("own", 1)])


def test_functions_that_never_end_are_refused(tmp_path: Path) -> None:
    doubling = product()
    doubling.functions.extend([_function(f"F{n}", f"F{n + 1}", f"F{n + 1}") for n in range(40)] + [_function("F40")])
    with pytest.raises(ArtifactError, match="its functions make it larger"):
        read_published(save(doubling, tmp_path))
    circular = product()
    circular.functions.extend([_function("F", "G"), _function("G", "F")])
    with pytest.raises(ArtifactError, match="calls itself"):
        read_published(save(circular, tmp_path))
    flat = product()
    flat.functions.extend([_function("F", "G", "G"), _function("G")])
    assert len(read_published(save(flat, tmp_path)).functions) == 2


def test_weights_outside_are_found_in_functions_and_sparse_tensors(tmp_path: Path) -> None:
    tensor = TensorProto(name="t", data_type=1, dims=[4], data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value="../secret")
    sparse = onnx.SparseTensorProto(values=tensor, indices=numpy_helper.from_array(np.arange(4), "i"), dims=[4])
    inside = product()
    inside.graph.node.append(helper.make_node("Constant", [], ["s"], sparse_value=sparse))
    with pytest.raises(ArtifactError, match="outside its own folder"):
        data_files(save(inside, tmp_path))
    model, function = product(), _function("F")
    function.node.append(helper.make_node("Constant", [], ["k"], value=tensor))
    model.functions.append(function)
    with pytest.raises(ArtifactError, match="a function with weights outside"):
        data_files(save(model, tmp_path))
