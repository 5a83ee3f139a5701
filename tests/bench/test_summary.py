"""Medians over repeats; ratios of figures of the same repeat, and of nothing else."""

from __future__ import annotations

import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.bench.measurement import Generator, Measurement
from gateway.bench.summary import comparisons_of, figures_of
from tests.bench.records import MEASUREMENTS

PYTHON, WRK, LOOP = Generator.PYTHON, Generator.WRK, Generator.IN_PROCESS


def measured(
    workload: str, contender: str, repeat: int, generator: Generator = PYTHON, **figures: float
) -> Measurement:
    return Measurement(workload, contender, generator, repeat, figures)


@given(MEASUREMENTS)
def test_a_figure_is_the_median_of_its_repeats(measurements: list[Measurement]) -> None:
    for figure in figures_of(measurements):
        own = [
            one.figures[figure.name]
            for one in sorted(measurements, key=lambda one: one.repeat)
            if (one.workload, one.contender, one.generator) == (figure.workload, figure.contender, figure.generator)
            and figure.name in one.figures
        ]
        assert list(figure.values) == own
        assert figure.spread.median == statistics.median(own)


@given(st.lists(st.tuples(st.floats(1, 1e4), st.floats(1, 1e4)), min_size=1, max_size=6), st.randoms())
def test_a_ratio_is_taken_within_its_repeat_whatever_the_order(
    pairs: list[tuple[float, float]], random: object
) -> None:
    measurements = [
        one
        for repeat, (mine, ceiling) in enumerate(pairs)
        for one in (
            measured("bulk", "gateway", repeat, texts_per_second=mine),
            measured("bulk", "ceiling", repeat, LOOP, texts_per_second=ceiling),
        )
    ]
    random.shuffle(measurements)  # type: ignore[attr-defined]
    [found] = comparisons_of(measurements)
    assert (found.contender, found.reference) == ("gateway", "ceiling")
    assert found.values == tuple(mine / ceiling for mine, ceiling in pairs)
    assert found.spread.median == statistics.median(mine / ceiling for mine, ceiling in pairs)


def test_repeats_that_only_one_of_two_has_are_not_compared() -> None:
    measurements = [
        measured("bulk", "gateway", 0, texts_per_second=10.0),
        measured("bulk", "gateway", 1, texts_per_second=20.0),
        measured("bulk", "ceiling", 1, LOOP, texts_per_second=40.0),
        measured("bulk", "ceiling", 2, LOOP, texts_per_second=80.0),
    ]
    [found] = comparisons_of(measurements)
    assert found.values == (0.5,)


def test_a_rate_of_zero_is_no_reference() -> None:
    measurements = [
        measured("bulk", "gateway", 0, texts_per_second=10.0),
        measured("bulk", "ceiling", 0, LOOP, texts_per_second=0.0),
    ]
    assert comparisons_of(measurements) == []


def test_single_queries_are_compared_with_no_ceiling() -> None:
    measurements = [
        measured("single", "ceiling", 0, LOOP, texts_per_second=900.0, latency_p50_ms=1.0),
        measured("single", "grpc", 0, texts_per_second=500.0, latency_p50_ms=2.0, latency_p99_ms=3.0),
        measured("single", "gateway", 0, texts_per_second=400.0, latency_p50_ms=2.5, latency_p99_ms=4.5),
    ]
    assert comparisons_of(measurements) == []


def test_the_share_of_a_processor_second_is_the_ceilings_work_by_the_servers() -> None:
    """Half the rate at the clock, because the client takes the other half, and nearly all of it by processor time."""
    measurements = [
        measured("many", "ceiling", 0, LOOP, texts_per_second=800.0, texts_per_cpu_second=400.0),
        measured("many", "gateway", 0, WRK, texts_per_second=400.0, texts_per_cpu_second=380.0),
    ]
    found = {one.name: one.values for one in comparisons_of(measurements)}
    assert found == {"texts_per_second": (0.5,), "texts_per_cpu_second": (0.95,)}


def test_a_gateway_of_other_settings_is_compared_with_the_measured_one_and_with_every_other_server() -> None:
    measurements = [
        measured("bulk", "gateway", 0, texts_per_second=100.0, latency_p50_ms=4.0),
        measured("bulk", "gateway-fast", 0, texts_per_second=180.0, latency_p50_ms=2.0),
        measured("bulk", "rival", 0, texts_per_second=20.0, latency_p50_ms=40.0),
    ]
    found = {(one.contender, one.reference, one.name): one.values for one in comparisons_of(measurements)}
    assert found == {
        ("gateway-fast", "gateway", "texts_per_second"): (1.8,),
        ("gateway", "gateway-fast", "latency_p50_ms"): (2.0,),
        ("gateway", "rival", "texts_per_second"): (5.0,),
        ("rival", "gateway", "latency_p50_ms"): (10.0,),
        ("gateway-fast", "rival", "texts_per_second"): (9.0,),
        ("rival", "gateway-fast", "latency_p50_ms"): (20.0,),
    }


def test_another_server_is_compared_so_that_more_is_better_and_each_generator_by_itself() -> None:
    measurements = [
        measured("many", "gateway", 0, texts_per_second=600.0, latency_p50_ms=10.0),
        measured("many", "gateway", 0, WRK, texts_per_second=800.0),
        measured("many", "rival", 0, texts_per_second=200.0, latency_p50_ms=40.0),
        measured("many", "rival", 0, WRK, texts_per_second=100.0),
    ]
    found = {
        (one.contender, one.reference, one.generator, one.name): one.values for one in comparisons_of(measurements)
    }
    assert found == {
        ("gateway", "rival", PYTHON, "texts_per_second"): (3.0,),
        ("rival", "gateway", PYTHON, "latency_p50_ms"): (4.0,),
        ("gateway", "rival", WRK, "texts_per_second"): (8.0,),
    }


def test_figures_stand_in_the_order_of_the_first_repeat() -> None:
    names = ["ceiling", "grpc", "gateway"]
    forwards = [measured("bulk", name, 0, texts_per_second=1.0) for name in names]
    backwards = [measured("bulk", name, 1, texts_per_second=1.0) for name in reversed(names)]
    assert [figure.contender for figure in figures_of([*backwards, *forwards])] == names


def test_a_figure_of_two_repeats_has_both() -> None:
    [found] = figures_of([measured("bulk", "grpc", repeat, errors=float(repeat)) for repeat in (1, 0)])
    assert found.values == (0.0, 1.0)
    assert found.spread.median == pytest.approx(0.5)
