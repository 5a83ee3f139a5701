"""Stops that wait: the handlers of `gateway up` raise an exception wherever the main thread is. In the midst of an
import or of making pydantic's schemas that is lost in a callback, leaves a lock held for good or becomes another error.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator


@contextlib.contextmanager
def postponed_stops() -> Iterator[None]:
    """What SIGINT or SIGTERM does is done when this ends. For a second or less: nothing stops meanwhile."""
    if threading.current_thread() is not threading.main_thread():  # signals are handled in the main one
        yield
        return
    came: list[int] = []
    stops = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, lambda number, _frame: came.append(number)) for number in stops}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if came:
        signal.raise_signal(came[0])
