"""Measurements and records as hypothesis makes them up."""

from __future__ import annotations

import math

from hypothesis import strategies as st

from gateway.bench.machine import Before, During
from gateway.bench.measurement import UNITS, Generator, Measurement
from gateway.bench.record import ParityResult, Participant, Record
from gateway.bench.workloads import Workload, full_plan

VALUES = st.floats(min_value=0, max_value=1e6, allow_nan=False)
# Names come from people; markup and quotes among them.
NAMES = st.sampled_from(["ceiling", "grpc", "gateway", "gateway-fast", "other", "<b>bold</b>", 'a"b&c', "[red]x[/red]"])
WORKLOADS = st.sampled_from(["single", "many", "bulk", "interference", "poisson-80", "added", "soak"])

MEASUREMENTS = st.lists(
    st.builds(
        Measurement,
        workload=WORKLOADS,
        contender=NAMES,
        generator=st.sampled_from(Generator),
        repeat=st.integers(0, 4),
        figures=st.dictionaries(st.sampled_from(sorted(UNITS)), VALUES, max_size=6),
    ),
    max_size=12,
    unique_by=lambda one: (one.workload, one.contender, one.generator, one.repeat),
)
SHARES = st.floats(min_value=0, max_value=1)
PARITY = st.builds(
    ParityResult,
    contender=NAMES,
    difference=VALUES | st.just(math.inf),
    cosine=st.floats(-1, 1),
    rule=st.sampled_from(["difference", "cosine"]),
    vectors=st.integers(0, 99),
    holds=st.booleans(),
)
TEXTS = st.sampled_from(["A sentence.", "<script>alert(1)</script>", "50 % & more", "[bold]"])

RECORDS = st.builds(
    Record,
    started_at=st.just("2026-11-21T19:00:00+00:00"),
    seconds=VALUES,
    quick=st.booleans(),
    model=NAMES,
    plan=st.just(full_plan(list(Workload), repeats=5, seconds=4.0, limit_seconds=60.0)),
    tolerance=st.just(1e-5),
    hardware=st.just({"cpu": "<Some> & CPU"}),
    versions=st.just({"numpy": "1.26"}),
    settings=st.just({}),
    before=st.builds(Before, load=st.tuples(VALUES, VALUES, VALUES), busy_share=SHARES),
    during=st.none() | st.builds(During, others_share=SHARES, steal_share=SHARES),
    participants=st.lists(st.builds(Participant, name=NAMES, url=TEXTS, model=NAMES), max_size=3),
    parity=st.lists(PARITY, max_size=3),
    measurements=MEASUREMENTS,
    warnings=st.lists(TEXTS, max_size=3),
    void=st.none() | TEXTS,
)
