"""A verdict is about the median of the very figure that is claimed, and on the right side of the bar."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.bench.bars import BARS, FAST, Bar, verdicts
from gateway.bench.measurement import UNITS, Generator, Measurement
from gateway.bench.tables import ENOUGH_REPEATS, bar_table
from gateway.bench.workloads import Workload

PYTHON, WRK, LOOP = Generator.PYTHON, Generator.WRK, Generator.IN_PROCESS


def measured(workload: str, contender: str, generator: Generator = PYTHON, **figures: float) -> list[Measurement]:
    return [Measurement(workload, contender, generator, repeat, figures) for repeat in range(ENOUGH_REPEATS)]


def test_every_bar_names_what_is_measured_and_has_one_bound() -> None:
    workloads = {workload.value for workload in Workload}
    for bar in BARS:
        assert bar.workload in workloads, bar.claim
        assert bar.figure in UNITS, bar.claim
        assert (bar.at_least is None) != (bar.at_most is None), bar.claim
        assert bar.unit in ("", UNITS[bar.figure]), bar.claim
    assert len({(bar.claim, bar.workload, bar.contender) for bar in BARS}) == len(BARS)


@given(st.floats(0, 10), st.floats(0, 10))
def test_a_bound_counts_as_reached_and_the_median_decides(bound: float, value: float) -> None:
    least, most = Bar("a", "b", "c", at_least=bound), Bar("a", "b", "c", at_most=bound)
    assert least.allows(value) is (value >= bound)
    assert most.allows(value) is (value <= bound)
    assert least.allows(bound)
    assert most.allows(bound)


def test_figures_of_other_contenders_generators_and_workloads_are_no_evidence() -> None:
    bar = Bar("claim", "many", "padding_ratio", generator=WRK, at_most=1.25)
    others = [
        *measured("many", "gateway", PYTHON, padding_ratio=9.0),
        *measured("bulk", "gateway", WRK, padding_ratio=9.0),
        *measured("many", "gateway-fast", WRK, padding_ratio=9.0),
    ]
    assert verdicts(others, [bar]) == []
    [found] = verdicts([*others, *measured("many", "gateway", WRK, padding_ratio=1.1)], [bar])
    assert found.holds
    assert found.spread.median == pytest.approx(1.1)


def test_ours_are_judged_against_every_other_server_and_never_against_one_another() -> None:
    run = [
        *measured("bulk", "ceiling", LOOP, texts_per_second=100.0),
        *measured("bulk", "gateway", texts_per_second=90.0),
        *measured("bulk", FAST, texts_per_second=170.0),
        *measured("bulk", "rival", texts_per_second=40.0),
        *measured("bulk", "another", texts_per_second=50.0),
    ]
    found = {(one.bar.claim, one.contender): one.holds for one in verdicts(run)}
    assert found == {
        ("bulk throughput, of the in-process ceiling's", "gateway / ceiling"): False,
        ("fast: bulk, of the fp32 ceiling's", "gateway-fast / ceiling"): True,
        ("bulk, of another server's", "gateway / rival"): True,
        ("bulk, of another server's", "gateway / another"): False,
        ("fast: bulk, of another server's", "gateway-fast / rival"): True,
        ("fast: bulk, of another server's", "gateway-fast / another"): False,
    }


def test_a_lower_latency_than_anothers_is_a_ratio_above_one() -> None:
    run = [*measured("single", "gateway", latency_p50_ms=2.0), *measured("single", "rival", latency_p50_ms=16.0)]
    [found] = verdicts(run)
    assert found.spread.median == pytest.approx(8.0)
    assert found.holds
    assert found.contender == "rival / gateway"


def test_few_repeats_are_told_and_what_is_missed_is_in_capitals() -> None:
    one = [Measurement("added", "gateway", PYTHON, 0, {"added_p50_ms": 0.7})]
    [row] = bar_table(one).rows
    assert row[1:] == ("gateway", "<= 0.6 ms", "0.70 ms", "NO, few repeats")
    [row] = bar_table(measured("added", "gateway", added_p50_ms=0.5)).rows
    assert row[-1] == "yes"
