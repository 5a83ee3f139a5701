"""The exposition is what Prometheus reads: prefixed, with units, and bounded in its labels."""

from __future__ import annotations

import dataclasses

from prometheus_client.parser import text_string_to_metric_families

from gateway.telemetry.metrics import Metrics, build_metrics, render_metrics

BOUNDED_LABELS = {"route", "model", "status", "code", "reason", "stage", "version", "precision"}


def test_every_metric_has_the_prefix_a_text_and_only_bounded_labels() -> None:
    metrics = build_metrics(version="1.2.3")
    for field in dataclasses.fields(Metrics):
        if field.name != "registry":
            metric = getattr(metrics, field.name)
            assert metric._name == f"gateway_{field.name}"
            assert metric._documentation.endswith(".")
            assert set(metric._labelnames) <= BOUNDED_LABELS


def test_exposition_can_be_parsed_and_holds_what_was_recorded() -> None:
    metrics = build_metrics(version="1.2.3")
    metrics.padded_tokens.labels("tiny").inc(12)
    metrics.queue_seconds.labels("tiny").observe(0.003)
    families = {family.name: family for family in text_string_to_metric_families(render_metrics(metrics).decode())}
    samples = {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in families.values()
        for sample in family.samples
    }
    assert samples["gateway_padded_tokens_total", (("model", "tiny"),)] == 12
    assert samples["gateway_queue_seconds_count", (("model", "tiny"),)] == 1
    assert samples["gateway_queue_seconds_bucket", (("le", "0.005"), ("model", "tiny"))] == 1
    assert samples["gateway_queue_seconds_bucket", (("le", "0.0025"), ("model", "tiny"))] == 0
    assert samples["gateway_build_info", (("version", "1.2.3"),)] == 1
    assert all(name.startswith("gateway_") for name in families)
    assert "gateway_process_cpu_seconds" in families


def test_apps_share_no_metrics() -> None:
    first, second = build_metrics(version="1"), build_metrics(version="1")
    first.inputs.labels("tiny").inc()
    assert b'gateway_inputs_total{model="tiny"} 1.0' in render_metrics(first)
    assert b"tiny" not in render_metrics(second)
