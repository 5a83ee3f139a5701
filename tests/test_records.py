"""A record is a frozen dataclass to whoever checks the code, and a quickly filled one to whoever runs it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import mypy.api

from gateway.records import record

_WRITES = """
from gateway.records import record

@record(frozen=True, slots=True)
class Point:
    x: int
    y: int = 0

def move(point: Point) -> Point:
    point.x = 1
    return Point(x="1")
"""


@record(frozen=True, slots=True)
class Point:
    x: int
    y: int = 0


def test_it_is_a_dataclass_with_slots_equality_and_a_hash() -> None:
    point = Point(1)

    assert point == Point(1, 0) != Point(1, 2)
    assert {point: "found"}[Point(1, 0)] == "found"
    assert dataclasses.replace(point, y=3) == Point(1, 3)
    assert not hasattr(point, "__dict__")


def test_what_writes_to_a_field_is_refused_when_the_code_is_checked(tmp_path: Path) -> None:
    code = tmp_path / "writes.py"
    code.write_text(_WRITES)

    said, _, status = mypy.api.run(["--strict", "--cache-dir", str(tmp_path), str(code)])

    assert status == 1
    assert 'Property "x" defined in "Point" is read-only' in said
    assert 'Argument "x" to "Point" has incompatible type "str"; expected "int"' in said
