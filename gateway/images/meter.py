"""What becomes of images, for the metrics, with their labels bound once."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from gateway.telemetry.metrics import ImageRefusal, ImageStage, Metrics


class ImageMeter:
    """Records how long images take, and why some are refused."""

    def __init__(self, metrics: Metrics) -> None:
        self._seconds = {stage: metrics.image_seconds.labels(stage.value) for stage in ImageStage}
        self._refused = {refusal: metrics.refused_images.labels(refusal.value) for refusal in ImageRefusal}

    @contextmanager
    def timed(self, stage: ImageStage) -> Iterator[None]:
        """Takes the time of what is done within it, failures and cancelled requests included: slow servers that
        callers do not wait for are to be seen."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self._seconds[stage].observe(time.perf_counter() - began)

    def refused(self, refusal: ImageRefusal) -> None:
        self._refused[refusal].inc()
