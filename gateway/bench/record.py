"""All that a run found out, and the JSON document that keeps it: stable, and described in benchmarks/README.md."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from gateway.bench.bars import Verdict, verdicts
from gateway.bench.machine import Before, During
from gateway.bench.measurement import UNITS, Measurement
from gateway.bench.parity import LEAST_COSINE
from gateway.bench.summary import comparisons_of, figures_of
from gateway.bench.workloads import Plan

FORMAT = "gateway-bench/1"
"""Raised when a field changes its meaning or goes; new fields may come without that."""

DIFFERENCE, COSINE = "difference", "cosine"
"""What two vectors are compared by."""

# How long a value may be: far finer than any repeat is like another.
SIGNIFICANT_DIGITS = 6


@dataclass(frozen=True, slots=True)
class ParityResult:
    """`difference` is the largest between any of `vectors` vectors and the ceiling's; infinite where one was none.
    `cosine` is the least, -1 there. `rule` says which of the two decides whether the contender `holds`."""

    contender: str
    difference: float
    cosine: float
    vectors: int
    holds: bool
    rule: str = DIFFERENCE


@dataclass(frozen=True, slots=True)
class Participant:
    """`model` is the name that it is asked for by; `url` is empty for what is asked in another way. `precision` is
    what the server says that it serves, empty where it says nothing."""

    name: str
    url: str
    model: str
    precision: str = ""


@dataclass(frozen=True, slots=True)
class Record:
    """`void` says why the figures do not count, None where they do. `settings` are those of a gateway that was started
    here, as far as they were given."""

    started_at: str
    seconds: float
    quick: bool
    model: str
    plan: Plan
    tolerance: float
    hardware: Mapping[str, str]
    versions: Mapping[str, str]
    settings: Mapping[str, str]
    before: Before
    during: During | None
    participants: Sequence[Participant]
    parity: Sequence[ParityResult]
    measurements: Sequence[Measurement]
    warnings: Sequence[str] = field(default_factory=tuple)
    void: str | None = None


def document(record: Record) -> dict[str, Any]:
    """The record as JSON values."""
    return {
        "format": FORMAT,
        "started_at": record.started_at,
        "seconds": _rounded(record.seconds),
        "void": record.void,
        "quick": record.quick,
        "model": record.model,
        "plan": {**asdict(record.plan), "workloads": [workload.value for workload in record.plan.workloads]},
        "machine": {
            "hardware": dict(record.hardware),
            "versions": dict(record.versions),
            "load_before": [_rounded(load) for load in record.before.load],
            "busy_share_before": _rounded(record.before.busy_share),
            "others_share_during": None if record.during is None else _rounded(record.during.others_share),
            "steal_share_during": None if record.during is None else _rounded(record.during.steal_share),
        },
        "gateway_settings": dict(record.settings),
        "participants": [asdict(one) for one in record.participants],
        "parity": {
            "tolerance": record.tolerance,
            "least_cosine": LEAST_COSINE,
            "results": [_parity(one) for one in record.parity],
        },
        "figures": _figures(record.measurements),
        "comparisons": _comparisons(record.measurements),
        "bars": [_bar(one) for one in verdicts(record.measurements)],
        "warnings": list(record.warnings),
    }


def _bar(verdict: Verdict) -> dict[str, Any]:
    bar = verdict.bar
    return {
        "claim": bar.claim,
        "workload": bar.workload,
        "contender": verdict.contender,
        "at_least": bar.at_least,
        "at_most": bar.at_most,
        "unit": bar.unit,
        "median": _rounded(verdict.spread.median),
        "lowest": _rounded(verdict.spread.lowest),
        "highest": _rounded(verdict.spread.highest),
        "repeats": verdict.repeats,
        "holds": verdict.holds,
    }


def _parity(result: ParityResult) -> dict[str, Any]:
    # JSON has no infinity.
    finite = result.difference != float("inf")
    return {
        "contender": result.contender,
        "largest_difference": _rounded(result.difference) if finite else None,
        # Not rounded to six digits: nines are what it is about.
        "least_cosine": round(result.cosine, 9),
        "vectors": result.vectors,
        "rule": result.rule,
        "holds": result.holds,
    }


def _figures(measurements: Sequence[Measurement]) -> list[dict[str, Any]]:
    return [
        {
            "workload": one.workload,
            "contender": one.contender,
            "load_generator": one.generator.value,
            "figure": one.name,
            "unit": UNITS[one.name],
            **_values(one.values, asdict(one.spread)),
        }
        for one in figures_of(measurements)
    ]


def _comparisons(measurements: Sequence[Measurement]) -> list[dict[str, Any]]:
    return [
        {
            "workload": one.workload,
            "contender": one.contender,
            "reference": one.reference,
            "load_generator": one.generator.value,
            "figure": one.name,
            "operation": "ratio",
            "unit": "",
            **_values(one.values, asdict(one.spread)),
        }
        for one in comparisons_of(measurements)
    ]


def _values(values: Sequence[float], spread: Mapping[str, float]) -> dict[str, Any]:
    return {name: _rounded(value) for name, value in spread.items()} | {"values": [_rounded(one) for one in values]}


def _rounded(value: float) -> float:
    return float(f"{value:.{SIGNIFICANT_DIGITS}g}")
