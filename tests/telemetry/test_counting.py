"""What is counted here reads as what prometheus_client's own metrics have counted."""

from __future__ import annotations

import re

import prometheus_client
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest

from gateway.telemetry import counting
from gateway.telemetry.counting import Counters, Histograms

BOUNDS = (0.0001, 0.5, 1, 30.0, 65536)
LABELS = ("model", "code")

label_values = st.tuples(st.sampled_from(["tiny", 'odd "name"\n']), st.sampled_from(["", "200"]))
amounts = st.one_of(
    st.sampled_from([*BOUNDS, 0, 1e9]), st.floats(min_value=0, max_value=1e6), st.integers(min_value=0, max_value=100)
)


def told(registry: CollectorRegistry) -> bytes:
    """All but when each metric began."""
    return re.sub(rb"(_created\{.*\}) .*", rb"\1", generate_latest(registry))


@given(st.lists(st.tuples(label_values, amounts)))
def test_it_reads_as_if_prometheus_client_had_counted(values: list[tuple[tuple[str, str], float]]) -> None:
    own, theirs = CollectorRegistry(), CollectorRegistry()
    counters = Counters("a", "What.", LABELS, registry=own)
    histograms = Histograms("b_seconds", "How long.", LABELS, upper_bounds=BOUNDS, registry=own)
    counter = prometheus_client.Counter("a", "What.", LABELS, registry=theirs)
    histogram = prometheus_client.Histogram("b_seconds", "How long.", LABELS, buckets=BOUNDS, registry=theirs)
    for labels, amount in values:
        counters.labels(*labels).inc(amount)
        counter.labels(*labels).inc(amount)
        histograms.labels(*labels).observe(amount)
        histogram.labels(*labels).observe(amount)
    assert told(own) == told(theirs)


def test_one_is_counted_unless_told_otherwise() -> None:
    registry = CollectorRegistry()
    Counters("a", "What.", ("model",), registry=registry).labels("tiny").inc()
    assert registry.get_sample_value("a_total", {"model": "tiny"}) == 1


def test_the_same_labels_give_the_same_counter() -> None:
    counters = Counters("a", "What.", LABELS, registry=CollectorRegistry())
    assert counters.labels("tiny", "") is counters.labels("tiny", "")
    assert counters.labels("tiny", "") is not counters.labels("", "tiny")


def test_labels_are_as_many_as_declared() -> None:
    with pytest.raises(ValueError, match="2 values were given"):
        Counters("a", "What.", ("model",), registry=CollectorRegistry()).labels("tiny", "200")


def test_a_name_is_taken_once() -> None:
    registry = CollectorRegistry()
    Counters("a", "What.", LABELS, registry=registry)
    with pytest.raises(ValueError, match="Duplicated"):
        prometheus_client.Counter("a", "What.", LABELS, registry=registry)


def test_beginnings_are_told_unless_they_are_switched_off() -> None:
    for is_on in (True, False):
        registry = CollectorRegistry()
        if not is_on:
            prometheus_client.disable_created_metrics()
        try:
            Counters("a", "What.", ("model",), registry=registry).labels("tiny")
            Histograms("b", "What.", ("model",), upper_bounds=(1,), registry=registry).labels("tiny")
        finally:
            prometheus_client.enable_created_metrics()
        text = generate_latest(registry)
        assert (b"a_created" in text, b"b_created" in text) == (is_on, is_on)
        assert counting.tells_beginnings()
