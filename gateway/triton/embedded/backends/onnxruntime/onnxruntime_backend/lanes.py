"""Threads that compute calls: bulk ones at low priority, urgent ones at normal priority that never wait behind those.

The kernel then gives an urgent call a core at once, and the gateway and Triton as well, while bulk calls take all that
is left. No thread waits for another within a call, so that a core that is busy elsewhere holds up one call only.
"""

import contextlib
import os
import queue
import threading

# Beside a thread of normal priority one of 10 more gets a tenth of a core that both want.
BULK_NICENESS = 10
LOWEST_PRIORITY = 19


class Lanes:
    """Computes what is `put`, `side_by_side` calls of each kind at once. `compute(call, alone)` must not raise; `alone`
    says that no other call is waiting or computed when this one starts."""

    def __init__(self, *, side_by_side, compute):
        self._compute = compute
        self._unfinished = 0
        self._lock = threading.Lock()
        self._bulk = queue.SimpleQueue()
        self._urgent = queue.SimpleQueue()
        self._threads = [
            threading.Thread(target=self._work, args=(lane, niceness), name=name, daemon=True)
            for lane, niceness, name in ((self._bulk, BULK_NICENESS, "bulk"), (self._urgent, 0, "urgent"))
            for _ in range(side_by_side)
        ]
        for thread in self._threads:
            thread.start()

    def put(self, call, *, urgent):
        with self._lock:
            self._unfinished += 1
        (self._urgent if urgent else self._bulk).put(call)

    def close(self):
        """Returns when all that was put is computed and every thread has ended."""
        for thread in self._threads:
            (self._bulk if thread.name == "bulk" else self._urgent).put(None)
        for thread in self._threads:
            thread.join()

    def _work(self, lane, niceness):
        give_way(niceness)
        while (call := lane.get()) is not None:
            with self._lock:
                alone = self._unfinished == 1
            try:
                self._compute(call, alone)
            finally:
                with self._lock:
                    self._unfinished -= 1
            del call  # its tensors are not to wait here for the next call


def give_way(niceness, thread=None):
    """Lowers the priority of one thread, by the kernel's id the calling one, where the system lets it. Linux counts it
    by thread."""
    thread = threading.get_native_id() if thread is None else thread
    with contextlib.suppress(OSError):
        own = os.getpriority(os.PRIO_PROCESS, thread)
        os.setpriority(os.PRIO_PROCESS, thread, min(own + niceness, LOWEST_PRIORITY))
