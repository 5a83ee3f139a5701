"""Tokenizing where it costs least: short texts on the event loop, all else in threads, many callers' texts to one hop.

Own code because a hop costs several times as much as tokenizing a short text (100 to 200 us, two wake-ups included,
to 20), and no library batches calls into a thread pool by pressure.
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

# What one turn of the event loop may tokenize by itself, in `_weight`. 512 bytes of anything take 0.05 to 0.5 ms with
# every kind of tokenizer that is shipped (Zen 5, 2026-11), and most queries have 20 to 100.
TURN_WEIGHT = 512
# What is not ASCII may grow to many times its size when it is normalised (U+FDFA to 18 characters).
_NOT_ASCII_WEIGHT = 2

# A text beyond this may take many seconds (16 MB of one letter: 10 s on Zen 5, 2026-11) and cannot be stopped.
LONG_CHARACTERS = 8 * HOP_CHARACTERS

# Characters that may wait: about a minute's work at its slowest. Beyond it a caller is told so instead of waiting.
_MOST_WAITING_CHARACTERS = 64 * 1024 * 1024

_FAILED = "The tokenizer failed on this input."
_FAILED_CODE = "tokenizer_failed"

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
    """Reads texts: short ones at once, as long as this turn of the loop has read less than `turn_weight`, all others on
    an executor. All that waits when a thread frees goes in one hop, up to `HOP_CHARACTERS`.

    Texts of more than `LONG_CHARACTERS` never take the last thread, where there is more than one, so that others do
    not wait for them. A caller that is cancelled is left out of the next hop; what already runs is finished and thrown
    away.
    """

    def __init__(self, executor: Executor, *, threads: int, turn_weight: int = TURN_WEIGHT) -> None:
        self._executor = executor
        self._free = threads
        self._free_for_long = max(threads - 1, 1)
        self._waiting: deque[_Job] = deque()
        self._waiting_long: deque[_Job] = deque()
        self._waiting_characters = 0
        self._jobs = 0
        self._start_scheduled = False
        self._most_a_turn = turn_weight
        self._turn_weight = 0

    async def run(self, read: Read[T], texts: Sequence[str]) -> list[T]:
        """What `read` gives for `texts` (valid Unicode, see `check_text`), in a thread unless they are short. Calls
        with an equal `read` share hops.

        Give no more than `slices` puts together: one call is never split, so a large one holds up small ones. Raises
        `InferenceFailed` when `read` itself fails, `Overloaded` when too much waits for it.
        """
        loop = asyncio.get_running_loop()
        characters = sum(map(len, texts))
        if characters <= self._most_a_turn and self._has_turn(_weight(texts), loop):
            return _read_here(read, texts)
        self._jobs += 1
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

    def _has_turn(self, weight: int, loop: asyncio.AbstractEventLoop) -> bool:
        """Whether this turn of the loop has room for texts of so much `weight`, which is then taken."""
        if self._turn_weight + weight > self._most_a_turn:
            return False
        if not self._turn_weight:
            loop.call_soon(self._next_turn)
        self._turn_weight += weight
        return True

    def _next_turn(self) -> None:
        self._turn_weight = 0

    def _admit(self, job: _Job) -> None:
        if self._waiting_characters and self._waiting_characters + job.characters > _MOST_WAITING_CHARACTERS:
            raise Overloaded("Too much text is waiting to be tokenized. Please try again shortly.")
        self._waiting_characters += job.characters
        line = self._waiting_long if job.is_long else self._waiting
        line.append(job)

    def _start(self) -> None:
        self._start_scheduled = False
        while self._free > 0:  # below 0 while a failed hop's callers go again by themselves
            jobs = self._take_long() if self._long_is_next() else self._take()
            if not jobs:
                return
            self._hop(jobs)

    def _long_is_next(self) -> bool:
        """Whether a long text may go now and came before all that is short."""
        _forget_the_gone(self._waiting)
        _forget_the_gone(self._waiting_long)
        if not self._waiting_long or self._free_for_long <= 0:
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
                _fail(jobs, _FAILED)
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
    if len(texts) == 1:
        return [texts]
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


def _weight(texts: Sequence[str]) -> int:
    """How long tokenizing takes at most, in bytes of ASCII; never 0, so that empty texts count too."""
    weight = 1
    for text in texts:
        weight += len(text) if text.isascii() else _NOT_ASCII_WEIGHT * len(text.encode())
    return weight


def _read_here(read: Read[T], texts: Sequence[str]) -> list[T]:
    try:
        return list(read(texts))
    except (asyncio.CancelledError, KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # a panic in Rust is no `Exception`, and an executor keeps it from the loop as well
        raise InferenceFailed(_FAILED, code=_FAILED_CODE) from error


def _forget_the_gone(line: deque[_Job]) -> None:
    while line and line[0].done.done():
        line.popleft()


def _fail(jobs: Sequence[_Job], message: str) -> None:
    for job in jobs:
        if not job.done.done():
            job.done.set_exception(InferenceFailed(message, code=_FAILED_CODE))
