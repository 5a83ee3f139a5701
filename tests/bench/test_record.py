"""The JSON document: its schema is kept in benchmarks/, and nothing that was measured gets lost in it."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given

from gateway.bench.measurement import UNITS
from gateway.bench.record import Record, document
from tests.bench.records import RECORDS

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = json.loads((ROOT / "benchmarks/result.schema.json").read_text())


@given(RECORDS)
def test_every_record_is_as_the_schema_says_and_is_json(record: Record) -> None:
    text = json.dumps(document(record), allow_nan=False)
    jsonschema.validate(json.loads(text), SCHEMA)


@given(RECORDS)
def test_every_value_that_was_measured_is_there_once(record: Record) -> None:
    written = [
        (figure["workload"], figure["contender"], figure["load_generator"], figure["figure"], value)
        for figure in document(record)["figures"]
        for value in figure["values"]
    ]
    measured = [
        (one.workload, one.contender, one.generator.value, name, pytest.approx(value, rel=1e-5))
        for one in record.measurements
        for name, value in one.figures.items()
    ]
    assert len(written) == len(measured)
    for value in measured:
        assert value in written


def test_the_schema_lets_no_document_of_another_format_pass() -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"format": "gateway-bench/2"}, SCHEMA)


def test_the_readme_explains_every_figure() -> None:
    readme = (ROOT / "benchmarks/README.md").read_text()
    assert [name for name in UNITS if f"`{name}`" not in readme] == []
    assert "result.schema.json" in readme
