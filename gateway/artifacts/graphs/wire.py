"""Reading protobuf by its wire format, to learn where bytes lie in a file of gigabytes without loading them.

Own code because protobuf's parser copies every field and does not tell offsets. Format:
https://protobuf.dev/programming-guides/encoding.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5
_MAX_VARINT_BYTES = 10


class BrokenWire(ValueError):
    """The bytes are no protobuf message."""


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a message: all its bytes are [start, end), those of its value [value_start, end). `is_bytes` where
    the value is a text, bytes or another message."""

    number: int
    start: int
    value_start: int
    end: int
    is_bytes: bool

    @property
    def size(self) -> int:
        """Bytes of the value."""
        return self.end - self.value_start


def fields(data: memoryview, start: int, end: int) -> Iterator[Field]:
    """The fields of the message in `data[start:end]`, by positions in `data`. Raises `BrokenWire`."""
    place = start
    while place < end:
        tag, value_start = read_varint(data, place, end)
        number, kind = tag >> 3, tag & 7
        if kind == _VARINT:
            _, after = read_varint(data, value_start, end)
        elif kind == _LENGTH:
            size, value_start = read_varint(data, value_start, end)
            after = value_start + size
        elif kind in (_FIXED32, _FIXED64):
            after = value_start + (4 if kind == _FIXED32 else 8)
        else:
            raise BrokenWire(f"byte {place} begins no field")
        if number == 0 or after > end:
            raise BrokenWire(f"the field at byte {place} does not fit")
        yield Field(number, place, value_start, after, kind == _LENGTH)
        place = after


def read_varint(data: memoryview, place: int, end: int) -> tuple[int, int]:
    """The number that begins at `place`, and where it ends. Raises `BrokenWire`."""
    value = 0
    for count, byte in enumerate(data[place : min(place + _MAX_VARINT_BYTES, end)]):
        value |= (byte & 0x7F) << (7 * count)
        if byte < 0x80:
            return value, place + count + 1
    raise BrokenWire(f"the number at byte {place} does not end")


def written(number: int, value: bytes) -> bytes:
    """A field that holds bytes."""
    return _varint(number << 3 | _LENGTH) + _varint(len(value)) + value


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
