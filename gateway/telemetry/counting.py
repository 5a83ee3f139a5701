"""Counters and histograms that Prometheus reads and that only the event loop counts in.

Those of prometheus_client take a lock and four or more calls for every value, and a request counts a dozen: a tenth of
all the calls that a short query took here. These reach its registry by its interface for collectors, and read the same.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Generic, TypeVar

import prometheus_client
from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

_Child = TypeVar("_Child")


class Counter:
    """What only grows."""

    __slots__ = ("began", "value")

    def __init__(self) -> None:
        self.value = 0.0
        self.began = time.time()

    def inc(self, amount: float = 1) -> None:
        self.value += amount


class Histogram:
    """How many values there were up to each of `upper_bounds`, in rising order, and beyond the last; and their sum."""

    __slots__ = ("began", "counts", "total", "upper_bounds")

    def __init__(self, upper_bounds: Sequence[float]) -> None:
        self.upper_bounds = upper_bounds
        self.counts = [0] * (len(upper_bounds) + 1)
        self.total = 0.0
        self.began = time.time()

    def observe(self, value: float) -> None:
        self.total += value
        self.counts[bisect_left(self.upper_bounds, value)] += 1


class _Labelled(Generic[_Child]):
    """One `_Child` for each combination of labels' values."""

    def __init__(self, names: Sequence[str], make: Callable[[], _Child]) -> None:
        self.names = tuple(names)
        self._make = make
        self._children: dict[tuple[str, ...], _Child] = {}

    def child(self, values: tuple[str, ...]) -> _Child:
        found = self._children.get(values)
        if found is None:
            if len(values) != len(self.names):
                raise ValueError(f"The labels are {self.names}: {len(values)} values were given.")
            found = self._children[values] = self._make()
        return found

    def items(self) -> list[tuple[tuple[str, ...], _Child]]:
        return list(self._children.items())


class Counters(Collector):
    """A metric of one counter for each combination of labels' values. `name` is without its `_total`."""

    def __init__(self, name: str, documentation: str, labels: Sequence[str], *, registry: CollectorRegistry) -> None:
        self.name = name
        self.documentation = documentation
        self._labelled = _Labelled(labels, Counter)
        self._tells_beginnings = tells_beginnings()
        registry.register(self)

    @property
    def label_names(self) -> tuple[str, ...]:
        return self._labelled.names

    def labels(self, *values: str) -> Counter:
        """Looked up by the labels' values in order; costs as much as counting, so whoever counts often keeps it."""
        return self._labelled.child(values)

    def describe(self) -> list[Metric]:
        return [CounterMetricFamily(self.name, self.documentation, labels=self.label_names)]

    def collect(self) -> list[Metric]:
        family = CounterMetricFamily(self.name, self.documentation, labels=self.label_names)
        for values, counter in self._labelled.items():
            family.add_metric(values, counter.value, created=counter.began if self._tells_beginnings else None)
        return [family]


class Histograms(Collector):
    """A metric of one histogram for each combination of labels' values."""

    def __init__(
        self,
        name: str,
        documentation: str,
        labels: Sequence[str],
        *,
        upper_bounds: Sequence[float],
        registry: CollectorRegistry,
    ) -> None:
        self.name = name
        self.documentation = documentation
        self._bound_names = [*(str(float(bound)) for bound in upper_bounds), "+Inf"]
        self._labelled = _Labelled(labels, lambda: Histogram(upper_bounds))
        self._tells_beginnings = tells_beginnings()
        registry.register(self)

    @property
    def label_names(self) -> tuple[str, ...]:
        return self._labelled.names

    def labels(self, *values: str) -> Histogram:
        """As `Counters.labels`."""
        return self._labelled.child(values)

    def describe(self) -> list[Metric]:
        return [HistogramMetricFamily(self.name, self.documentation, labels=self.label_names)]

    def collect(self) -> list[Metric]:
        family = HistogramMetricFamily(self.name, self.documentation, labels=self.label_names)
        for values, histogram in self._labelled.items():
            up_to = accumulate(histogram.counts)
            family.add_metric(values, list(zip(self._bound_names, up_to, strict=True)), sum_value=histogram.total)
            if self._tells_beginnings:
                labels = dict(zip(self.label_names, values, strict=True))
                family.samples.append(Sample(f"{self.name}_created", labels, histogram.began))
        return [family]


def tells_beginnings() -> bool:
    """Whether prometheus_client tells when each metric began, which its users may have switched off."""
    [family] = prometheus_client.Counter("probe", "Asked for what it tells.", registry=None).collect()
    return any(sample.name.endswith("_created") for sample in family.samples)
