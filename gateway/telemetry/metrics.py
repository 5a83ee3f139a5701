"""The gateway's Prometheus metrics, all declared here so that names, units and labels can be read in one place.

One `Metrics` value per app, on its own registry, is handed down to whoever records. Every label takes its values from
a small fixed set (model names from cards, route names from dialects, the enums below): never from a request.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.samples import Sample

CONTENT_TYPE = CONTENT_TYPE_LATEST

_REQUEST_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
_STAGE_SECONDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0)
_ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048)
_TOKENS = (8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768, 65536)


class DropReason(Enum):
    """Why a row left the queue without being computed."""

    CLIENT_GONE = "client_gone"
    DEADLINE = "deadline"
    SHUTDOWN = "shutdown"


class RetryReason(Enum):
    """Why a Triton call was made again."""

    ENGINE_UNAVAILABLE = "engine_unavailable"
    BACKEND_PROCESS_DIED = "backend_process_died"
    BATCH_FAILED = "batch_failed"


class ImageStage(Enum):
    """What is done with an image before its request is tokenized."""

    FETCH = "fetch"
    DECODE = "decode"


class ImageRefusal(Enum):
    """Why an image was not used. What a URL's host turned out to be counts as `unreachable` like all else on the way:
    who may read the metrics is not to learn the network from them."""

    URL = "url"
    UNREACHABLE = "unreachable"
    TOO_LARGE = "too_large"
    DATA_URI = "data_uri"
    FORMAT = "format"
    UNREADABLE = "unreadable"
    DECODING_LIMITS = "decoding_limits"
    MEMORY = "memory"


@dataclass(frozen=True, slots=True)
class Metrics:
    """Every metric object. Labels stand behind the field, in the order `labels()` takes them."""

    registry: CollectorRegistry

    requests: Counter  # route, model, status
    errors: Counter  # route, code
    request_seconds: Histogram  # route
    requests_in_progress: Gauge
    inputs: Counter  # model
    input_tokens: Counter  # model
    truncated_inputs: Counter  # model

    tokenize_seconds: Histogram  # model
    queue_seconds: Histogram  # model
    infer_seconds: Histogram  # model

    image_seconds: Histogram  # stage
    refused_images: Counter  # reason

    batch_rows: Histogram  # model
    batch_tokens: Histogram  # model; real tokens of one call
    real_tokens: Counter  # model
    padded_tokens: Counter  # model; rows x longest row, in whole blocks if fast; as real_tokens where rows go unpadded
    queued_rows: Gauge  # model
    queued_tokens: Gauge  # model
    calls_in_flight: Gauge  # model
    retries: Counter  # model, reason
    dropped_rows: Counter  # model, reason

    shared_rows: Counter  # model
    cache_hits: Counter  # model
    cache_misses: Counter  # model
    saved_tokens: Counter  # model; of shared rows and of cache hits
    cache_bytes: Gauge

    model_ready: Gauge  # model
    model_precision: Gauge  # model, precision
    build_info: Gauge  # version


@dataclass(frozen=True, slots=True)
class _Declaring:
    """Declares metrics on one registry: the prefix, and `_total` on counters, in one place."""

    registry: CollectorRegistry

    def counter(self, name: str, documentation: str, *labels: str) -> Counter:
        return Counter(f"gateway_{name}_total", documentation, labels, registry=self.registry)

    def gauge(self, name: str, documentation: str, *labels: str) -> Gauge:
        return Gauge(f"gateway_{name}", documentation, labels, registry=self.registry)

    def histogram(self, name: str, documentation: str, *labels: str, buckets: Sequence[float]) -> Histogram:
        return Histogram(f"gateway_{name}", documentation, labels, buckets=buckets, registry=self.registry)


def build_metrics(*, version: str) -> Metrics:
    """A fresh set of metrics on a fresh registry, process CPU and memory included."""
    registry = CollectorRegistry()
    ProcessCollector(namespace="gateway", registry=registry)
    declare = _Declaring(registry)
    build_info = declare.gauge("build_info", "Always 1; the label says which gateway this is.", "version")
    build_info.labels(version).set(1)
    return Metrics(
        registry=registry,
        build_info=build_info,
        model_ready=declare.gauge(
            "model_ready", "1 when the model's last canary gave the right vector or score.", "model"
        ),
        model_precision=declare.gauge(
            "model_precision", "1 at what the model computes in, as its last canary showed.", "model", "precision"
        ),
        **_of_requests(declare),
        **_of_stages(declare),
        **_of_images(declare),
        **_of_batches(declare),
        **_of_sharing(declare),
    )


def _of_requests(declare: _Declaring) -> dict[str, Any]:
    return {
        "requests": declare.counter("requests", "HTTP answers sent.", "route", "model", "status"),
        "errors": declare.counter("errors", "HTTP answers that were errors, by the envelope's code.", "route", "code"),
        "request_seconds": declare.histogram(
            "request_seconds", "From the request's headers to the last byte.", "route", buckets=_REQUEST_SECONDS
        ),
        "requests_in_progress": declare.gauge("requests_in_progress", "Requests being answered now."),
        "inputs": declare.counter("inputs", "Inputs embedded, documents scored.", "model"),
        "input_tokens": declare.counter(
            "input_tokens", "Tokens of these as they are computed, special tokens and prefixes included.", "model"
        ),
        "truncated_inputs": declare.counter("truncated_inputs", "Inputs cut to the model's window.", "model"),
    }


def _of_stages(declare: _Declaring) -> dict[str, Any]:
    documentation = {
        "tokenize_seconds": "Tokenizing one request, its wait for a thread included.",
        "queue_seconds": "A request's wait until a call takes some of its rows.",
        "infer_seconds": "One Triton call.",
    }
    return {
        name: declare.histogram(name, text, "model", buckets=_STAGE_SECONDS) for name, text in documentation.items()
    }


def _of_images(declare: _Declaring) -> dict[str, Any]:
    return {
        "image_seconds": declare.histogram(
            "image_seconds",
            "Fetching one image by its URL, or decoding one; the wait for a place or a process included.",
            "stage",
            buckets=_REQUEST_SECONDS,
        ),
        "refused_images": declare.counter("refused_images", "Images that could not be used.", "reason"),
    }


def _of_batches(declare: _Declaring) -> dict[str, Any]:
    return {
        "batch_rows": declare.histogram("batch_rows", "Rows in one Triton call.", "model", buckets=_ROWS),
        "batch_tokens": declare.histogram(
            "batch_tokens", "Tokens in one Triton call, without padding.", "model", buckets=_TOKENS
        ),
        "real_tokens": declare.counter("real_tokens", "Tokens sent to Triton, without padding.", "model"),
        "padded_tokens": declare.counter("padded_tokens", "Tokens that are computed, padding included.", "model"),
        "queued_rows": declare.gauge("queued_rows", "Rows waiting for a batch.", "model"),
        "queued_tokens": declare.gauge("queued_tokens", "Tokens waiting for a batch.", "model"),
        "calls_in_flight": declare.gauge("calls_in_flight", "Triton calls under way.", "model"),
        "retries": declare.counter("retries", "Triton calls made again.", "model", "reason"),
        "dropped_rows": declare.counter(
            "dropped_rows", "Rows that left the queue without being computed.", "model", "reason"
        ),
    }


def _of_sharing(declare: _Declaring) -> dict[str, Any]:
    return {
        "shared_rows": declare.counter(
            "shared_rows",
            "Rows not computed because an equal one was in the same request or under way for the same caller.",
            "model",
        ),
        "cache_hits": declare.counter("cache_hits", "Rows whose vector was kept from before.", "model"),
        "cache_misses": declare.counter("cache_misses", "Rows looked for in the cache and not found.", "model"),
        "saved_tokens": declare.counter(
            "saved_tokens", "Tokens not computed, of shared rows and of cache hits.", "model"
        ),
        "cache_bytes": declare.gauge("cache_bytes", "Memory that the vectors kept in this process take."),
    }


def render_metrics(metrics: Metrics) -> bytes:
    """Prometheus text exposition of every metric, UTF-8; its media type is `CONTENT_TYPE`."""
    return generate_latest(metrics.registry)


@dataclass(frozen=True, slots=True)
class RequestCounts:
    """HTTP requests since the start: `failed` are those answered with a status of 500 or more."""

    completed: int
    failed: int
    in_progress: int
    waiting_rows: int
    retried: int


def request_counts(metrics: Metrics) -> RequestCounts:
    """A few totals for people and for APIs that tell them."""
    answers = [(sample.labels["status"], sample.value) for sample in _samples(metrics.requests)]
    failed = sum(value for status, value in answers if int(status) >= 500)
    return RequestCounts(
        completed=int(sum(value for _, value in answers) - failed),
        failed=int(failed),
        in_progress=int(sum(sample.value for sample in _samples(metrics.requests_in_progress))),
        waiting_rows=int(sum(sample.value for sample in _samples(metrics.queued_rows))),
        retried=int(sum(sample.value for sample in _samples(metrics.retries))),
    )


def _samples(metric: Counter | Gauge) -> list[Sample]:
    """A metric's values; of a counter without the times at which it began."""
    return [sample for family in metric.collect() for sample in family.samples if not sample.name.endswith("_created")]
