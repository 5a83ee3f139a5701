"""Tokenizing off the event loop, many callers' texts to one thread hop.

Own code because a hop costs about as much as tokenizing a short text (60 to 100 us), so one hop per request would
double the cost; no library batches calls into a thread pool by pressure.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any, TypeVar

from gateway.errors import InferenceFailed, Overloaded

# Characters one hop takes at most: 10 to 25 ms of tokenizing, which is what a small text may have to wait for.
HOP_CHARACTERS = 32 * 1024

# A text beyond this may take many seconds (16 MB of one letter: 10 s on Zen 5, 2026-11) and cannot be stopped.
LONG_CHARACTERS = 8 * HOP_CHARACTERS

# Characters that may wait: about a minute's work at its slowest. Beyond it a caller is told so instead of waiting.
_MOST_WAITING_CHARACTERS = 64 * 1024 * 1024

T = TypeVar("T")
Read = Callable[[Sequence[str]], Sequence[T]]
"""What a hop does with its texts, in a thread: one result per text, in order."""


@dataclass(slots=True)
class _Job:
    """One caller's texts. `characters` falls to 0 when it waits no more; `number` is its place in order of arrival."""

    number: int
    read: Read[Any]
    texts: Sequence[str]
    characters: int
    is_long: bool
    done: asyncio.Future[list[Any]]


class TokenizerPool:
    """Reads texts on an executor. All that waits when a thread frees goes in one hop, up to `HOP_CHARACTERS`.

    Texts of more than `LONG_CHARACTERS` never take the last thread, where there is more than one, so that others do
    not wait for them. A caller that is cancelled is left out of the next hop; what already runs is finished and thrown
    away.
    """

    def __init__(self, executor: Executor, *, threads: int) -> None:
        self._executor = executor
        self._free = threads
        self._free_for_long = max(threads - 1, 1)
        self._waiting: deque[_Job] = deque()
        self._waiting_long: deque[_Job] = deque()
        self._waiting_characters = 0
        self._jobs = 0
        self._start_scheduled = False

    async def run(self, read: Read[T], texts: Sequence[str]) -> list[T]:
        """What `read` gives for `texts` (valid Unicode, see `check_text`), in a thread. Calls with an equal `read`
        share hops.

        Give no more than `slices` puts together: one call is never split, so a large one holds up small ones. Raises
        `InferenceFailed` when `read` itself fails, `Overloaded` when too much waits for it.
        """
        loop = asyncio.get_running_loop()
        self._jobs += 1
        characters = sum(map(len, texts))
        job = _Job(self._jobs, read, texts, characters, characters > LONG_CHARACTERS, loop.create_future())
        self._admit(job)
        if not self._start_scheduled:
            # At the end of this turn of the loop: requests that arrived together share the hop, and nobody waits.
            self._start_scheduled = True
            loop.call_soon(self._start)
        try:
            return await job.done
        finally:
            self._uncount(job)  # a caller that is cancelled still stands in line, but no longer counts

    def _admit(self, job: _Job) -> None:
        if self._waiting_characters and self._waiting_characters + job.characters > _MOST_WAITING_CHARACTERS:
            raise Overloaded("Too much text is waiting to be tokenized. Please try again shortly.")
        self._waiting_characters += job.characters
        line = self._waiting_long if job.is_long else self._waiting
        line.append(job)

    def _start(self) -> None:
        self._start_scheduled = False
        while self._free:
            jobs = self._take_long() if self._long_is_next() else self._take()
            if not jobs:
                return
            self._hop(jobs)

    def _long_is_next(self) -> bool:
        """Whether a long text may go now and came before all that is short."""
        _forget_the_gone(self._waiting)
        _forget_the_gone(self._waiting_long)
        if not self._waiting_long or not self._free_for_long:
            return False
        return not self._waiting or self._waiting_long[0].number < self._waiting[0].number

    def _take_long(self) -> list[_Job]:
        job = self._waiting_long.popleft()
        self._uncount(job)
        return [job]

    def _take(self) -> list[_Job]:
        jobs: list[_Job] = []
        characters = 0
        while self._waiting and (not jobs or self._may_share(jobs[0], characters)):
            job = self._waiting.popleft()
            if not job.done.done():
                jobs.append(job)
                characters += job.characters
                self._uncount(job)
        return jobs

    def _may_share(self, first: _Job, characters: int) -> bool:
        """Whether the next job may go with `first` in a hop that has so many `characters` already."""
        following = self._waiting[0]
        return characters + following.characters <= HOP_CHARACTERS and following.read == first.read

    def _uncount(self, job: _Job) -> None:
        self._waiting_characters -= job.characters
        job.characters = 0

    def _hop(self, jobs: list[_Job]) -> None:
        texts = [text for job in jobs for text in job.texts]
        self._occupy(jobs, -1)
        try:
            hop = asyncio.get_running_loop().run_in_executor(self._executor, jobs[0].read, texts)
        except RuntimeError:
            self._occupy(jobs, +1)
            _fail(jobs, "The gateway is shutting down.")
            return
        hop.add_done_callback(lambda done: self._finish(jobs, done))

    def _occupy(self, jobs: Sequence[_Job], change: int) -> None:
        self._free += change
        if any(job.is_long for job in jobs):
            self._free_for_long += change

    def _finish(self, jobs: list[_Job], hop: asyncio.Future[Sequence[Any]]) -> None:
        self._occupy(jobs, +1)
        if hop.cancelled() or hop.exception() is not None:
            if len(jobs) == 1 or hop.cancelled():
                _fail(jobs, "The tokenizer failed on this input.")
            else:
                # One text's failure is not its neighbours': each caller's texts go again by themselves.
                for job in jobs:
                    self._hop([job])
        else:
            results = iter(hop.result())
            for job in jobs:
                mine = [next(results) for _ in job.texts]
                if not job.done.done():
                    job.done.set_result(mine)
        self._start()


def slices(texts: Sequence[str]) -> list[Sequence[str]]:
    """`texts` in runs of at most `HOP_CHARACTERS` characters each; a longer text stands alone."""
    runs: list[Sequence[str]] = []
    start = characters = 0
    for place, text in enumerate(texts):
        if place > start and characters + len(text) > HOP_CHARACTERS:
            runs.append(texts[start:place])
            start, characters = place, 0
        characters += len(text)
    if start < len(texts):
        runs.append(texts[start:])
    return runs


def _forget_the_gone(line: deque[_Job]) -> None:
    while line and line[0].done.done():
        line.popleft()


def _fail(jobs: Sequence[_Job], message: str) -> None:
    for job in jobs:
        if not job.done.done():
            job.done.set_exception(InferenceFailed(message, code="tokenizer_failed"))
