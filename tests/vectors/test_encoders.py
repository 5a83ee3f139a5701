from __future__ import annotations

import base64
import struct

import numpy as np
import orjson
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from gateway.vectors.encoders import base64_rows, float_rows

vectors = arrays(
    np.float32,
    st.tuples(st.integers(0, 4), st.integers(1, 9)),
    elements=st.floats(width=32, allow_nan=False, allow_infinity=False),
)


@given(vectors)
def test_base64_is_little_endian_float32(rows: np.ndarray) -> None:
    for text, row in zip(base64_rows(rows), rows.tolist(), strict=True):
        assert list(struct.unpack(f"<{len(row)}f", base64.b64decode(text, validate=True))) == row


@given(vectors, st.booleans())
def test_floats_read_back_as_the_same_float32(rows: np.ndarray, transposed: bool) -> None:
    rows = rows.T if transposed else rows
    written = orjson.dumps(float_rows(rows), option=orjson.OPT_SERIALIZE_NUMPY)
    read = np.array(orjson.loads(written), dtype=np.float32).reshape(rows.shape)
    assert read.tobytes() == np.ascontiguousarray(rows + np.float32(0)).tobytes() or np.array_equal(read, rows)


def test_a_known_vector() -> None:
    assert base64_rows(np.array([[1.0, -2.0]], np.float32)) == ["AACAPwAAAMA="]
