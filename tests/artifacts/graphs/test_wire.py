"""Reading protobuf by its wire format, judged by protobuf itself."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import AttributeProto, NodeProto, TensorProto

from gateway.artifacts.graphs.wire import BrokenWire, fields, read_varint, written

numbers = st.integers(-(2**63), 2**63 - 1)
texts = st.text(max_size=300)
tensors = st.builds(
    lambda dims, raw, floats, name: TensorProto(dims=dims, raw_data=raw, float_data=floats, name=name),
    st.lists(numbers, max_size=4),
    st.binary(max_size=400),
    st.lists(st.floats(width=32), max_size=4),
    texts,
)
attributes = st.builds(
    lambda name, number, real, tensor: AttributeProto(name=name, i=number, f=real, t=tensor),
    texts,
    numbers,
    st.floats(width=32, allow_nan=False),
    tensors,
)
nodes = st.builds(
    lambda kind, inputs, parts: NodeProto(op_type=kind, input=inputs, attribute=parts),
    texts,
    st.lists(texts, max_size=3),
    st.lists(attributes, max_size=3),
)


@given(nodes, st.binary(max_size=20))
def test_the_fields_are_the_message_in_order_and_nothing_else(node: NodeProto, before: bytes) -> None:
    data = before + node.SerializeToString()
    found = list(fields(memoryview(data), len(before), len(data)))
    assert b"".join(data[field.start : field.end] for field in found) == node.SerializeToString()
    inputs = [data[field.value_start : field.end].decode() for field in found if field.number == 1]
    assert inputs == list(node.input)
    parts = [AttributeProto.FromString(data[field.value_start : field.end]) for field in found if field.number == 5]
    assert [part.SerializeToString() for part in parts] == [part.SerializeToString() for part in node.attribute]


@given(texts)
def test_a_written_field_is_read_back_by_protobuf(text: str) -> None:
    assert NodeProto.FromString(written(3, text.encode())).name == text


@given(st.binary(max_size=60))
def test_any_bytes_are_fields_or_refused(data: bytes) -> None:
    try:
        found = list(fields(memoryview(data), 0, len(data)))
    except BrokenWire:
        return
    assert sum(field.end - field.start for field in found) == len(data)


@pytest.mark.parametrize(
    "data",
    [
        b"\x80",  # a number without its end
        b"\x80" * 11 + b"\x01",  # one that is too long
        b"\x0a\x05abcd",  # a text that ends too early
        b"\x0b",  # a group, which no ONNX file has
        b"\x00\x01",  # field 0
        b"\x09\x00\x00",  # eight bytes, of which two are there
    ],
)
def test_what_is_no_message_is_refused(data: bytes) -> None:
    with pytest.raises(BrokenWire):
        list(fields(memoryview(data), 0, len(data)))


def test_a_number_is_not_read_past_its_message() -> None:
    with pytest.raises(BrokenWire):
        read_varint(memoryview(b"\x80\x01"), 0, 1)
