"""Runs the embedded Triton's supervisor on a thread of its own, for callers whose event loop is somebody else's.

`gateway up` hands the main thread to the HTTP server; a busy or blocked gateway must not delay a restart of Triton.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from collections.abc import Callable, Sequence
from types import TracebackType

from gateway.triton.embedded.supervisor import EmbeddedTriton, StartReport


class BackgroundTriton:
    """The same start and stop as `EmbeddedTriton`, blocking. Leaving the context stops the server."""

    def __init__(self, triton: EmbeddedTriton) -> None:
        self.triton = triton
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="embedded-triton", daemon=True)
        self._thread.start()
        self._starting: concurrent.futures.Future[StartReport] | None = None

    def __enter__(self) -> BackgroundTriton:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self, models: Sequence[str], *, meanwhile: Callable[[], object] | None = None) -> StartReport:
        """Blocks until the models are served, and `meanwhile` is done in this thread. An exception in this thread,
        Ctrl-C say, leaves the stop to `stop`."""
        self._starting = asyncio.run_coroutine_threadsafe(self.triton.start(models), self._loop)
        if meanwhile is not None:
            meanwhile()
        return self._starting.result()

    def stop(self) -> None:
        """Blocks until the server is gone. Safe to call twice."""
        if self._loop.is_closed():
            return
        if self._starting is not None:
            self._starting.cancel()  # where the start is still under way; it stops what it has started
        asyncio.run_coroutine_threadsafe(self.triton.stop(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
