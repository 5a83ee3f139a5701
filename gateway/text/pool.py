"""Tokenizing off the event loop, many callers' texts to one thread hop.

Own code because a hop costs about as much as tokenizing a short text (60 to 100 us), so one hop per request would
double the cost; no library batches calls into a thread pool by pressure.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass

from gateway.errors import InferenceFailed
from gateway.text.tokenizer import TextTokenizer, Tokenized

# Characters one hop takes at most: 10 to 25 ms of tokenizing, which is what a small text may have to wait for.
HOP_CHARACTERS = 32 * 1024


@dataclass(frozen=True, slots=True)
class _Job:
    texts: Sequence[str]
    characters: int
    done: asyncio.Future[list[Tokenized]]


class TokenizerPool:
    """Runs one tokenizer on an executor. All that waits when a thread frees goes in one hop, up to `HOP_CHARACTERS`.

    A caller that is cancelled is left out of the next hop; what already runs is finished and thrown away.
    """

    def __init__(self, tokenizer: TextTokenizer, executor: Executor, *, threads: int) -> None:
        self._tokenizer = tokenizer
        self._executor = executor
        self._free = threads
        self._waiting: deque[_Job] = deque()
        self._start_scheduled = False

    async def encode(self, texts: Sequence[str]) -> list[Tokenized]:
        """Tokenizes `texts` (valid Unicode, see `check_text`), in order.

        Give no more than `slices` puts together: one call is never split, so a large one holds up small ones. Raises
        `InferenceFailed` when the tokenizer itself fails.
        """
        loop = asyncio.get_running_loop()
        job = _Job(texts, sum(map(len, texts)), loop.create_future())
        self._waiting.append(job)
        if not self._start_scheduled:
            # At the end of this turn of the loop: requests that arrived together share the hop, and nobody waits.
            self._start_scheduled = True
            loop.call_soon(self._start)
        return await job.done

    def _start(self) -> None:
        self._start_scheduled = False
        while self._free and self._waiting:
            jobs = self._take()
            if jobs:
                self._hop(jobs)

    def _take(self) -> list[_Job]:
        jobs: list[_Job] = []
        characters = 0
        while self._waiting and (not jobs or characters + self._waiting[0].characters <= HOP_CHARACTERS):
            job = self._waiting.popleft()
            if not job.done.done():
                jobs.append(job)
                characters += job.characters
        return jobs

    def _hop(self, jobs: list[_Job]) -> None:
        texts = [text for job in jobs for text in job.texts]
        self._free -= 1
        try:
            hop = asyncio.get_running_loop().run_in_executor(self._executor, self._tokenizer.encode, texts)
        except RuntimeError:
            self._free += 1
            _fail(jobs, "The gateway is shutting down.")
            return
        hop.add_done_callback(lambda done: self._finish(jobs, done))

    def _finish(self, jobs: list[_Job], hop: asyncio.Future[list[Tokenized]]) -> None:
        self._free += 1
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


def _fail(jobs: Sequence[_Job], message: str) -> None:
    for job in jobs:
        if not job.done.done():
            job.done.set_exception(InferenceFailed(message, code="tokenizer_failed"))
