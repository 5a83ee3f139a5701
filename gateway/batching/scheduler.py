"""One model's scheduler: a batch is cut when a slot frees, by pressure and never by the clock.

Own code: Triton's dynamic batcher merges equal lengths only and cannot drop, retry or isolate a row, and no library
batches by token budget. An idle server waits for nobody; under load, rows pile up while calls run and leave in cuts
of like length. Nothing here ends a scheduler: what fails, fails for the rows concerned.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass

from gateway.batching.abandoned import AbandonedCalls
from gateway.batching.call import CallResult, ModelCall
from gateway.batching.cutting import join
from gateway.batching.meter import Meter
from gateway.batching.queue import RowQueue
from gateway.batching.submission import Outcome, Row, Submission
from gateway.errors import (
    BackendProcessDied,
    DeadlineExceeded,
    EngineUnavailable,
    GatewayError,
    InferenceFailed,
    Overloaded,
)
from gateway.telemetry.metrics import DropReason, RetryReason
from gateway.types import TokenRow

_log = logging.getLogger(__name__)

# A call's own cost is about a twentieth of a full call's: on a 2-core CPU 1.4 ms or 25 tokens beside a budget of 512.
_BUDGET_PER_OVERHEAD = 20


@dataclass(frozen=True, slots=True)
class SchedulerLimits:
    """`max_batch_tokens` bounds longest row x rows of a call; `calls_in_flight` is the number of calls under way.

    Of rows with more than `long_row_tokens` one call at most is under way, so that short rows always find a slot where
    there are two or more. `one_row_a_call` is for a model whose values depend on who shares the call.
    """

    max_batch_tokens: int
    max_queued_tokens: int
    calls_in_flight: int
    recovery_wait_seconds: float
    long_row_tokens: int = sys.maxsize
    one_row_a_call: bool = False


@dataclass(frozen=True, slots=True)
class Outage:
    """Why nothing is sent now, and since when (`time.monotonic()`)."""

    error: EngineUnavailable
    began_at: float


class Scheduler:
    """Rows of many callers in, their values out.

    An outage begins when a call finds the engine gone or `suspend` is called, and ends with `resume`: rows caught in
    it wait up to `recovery_wait_seconds` and are sent once more, new ones are refused at once.
    """

    def __init__(
        self,
        call: ModelCall,
        *,
        limits: SchedulerLimits,
        meter: Meter,
        on_outage: Callable[[EngineUnavailable], None] = lambda _: None,
    ) -> None:
        """`on_outage` is told of an outage that a call ran into, so that whoever watches the engine looks at once."""
        self._call = call
        self._limits = limits
        self._call_overhead_tokens = limits.max_batch_tokens // _BUDGET_PER_OVERHEAD
        self._meter = meter
        self._on_outage = on_outage
        self._queue = RowQueue(long_row_tokens=limits.long_row_tokens)
        self._calls: dict[asyncio.Task[None], list[Row]] = {}
        self._outage: Outage | None = None
        self._give_up: asyncio.TimerHandle | None = None
        self._pump_scheduled = False
        self._closed: EngineUnavailable | None = None
        self._last_busy_at = time.monotonic()
        self._abandoned = AbandonedCalls()
        meter.watch(rows=lambda: self._queue.rows, tokens=lambda: self._queue.tokens, calls=lambda: len(self._calls))

    @property
    def outage(self) -> Outage | None:
        return self._outage

    @property
    def idle(self) -> bool:
        return not self._queue.rows and not self._calls

    @property
    def idle_seconds(self) -> float:
        """How long nothing has waited or run; 0 while something does, or may though its callers are gone."""
        busy_until = max(self._last_busy_at, self._abandoned.until())
        return max(time.monotonic() - busy_until, 0.0) if self.idle else 0.0

    async def submit(self, rows: Sequence[TokenRow], *, deadline: float, caller: str = "") -> Outcome:
        """Computes the values of `rows`, in order; `deadline` is a reading of `time.monotonic()`.
        `caller` is whose rows they are.

        Cancelling drops the rows that have not been sent. Raises `Overloaded`, `EngineUnavailable`,
        `DeadlineExceeded` or `InferenceFailed` for these rows alone; the first failing row decides.
        """
        loop = asyncio.get_running_loop()
        now = time.monotonic()
        submission = Submission(rows, deadline=deadline, now=now, future=loop.create_future(), caller=caller)
        self._admit(submission, now=now)
        if not submission.rows:
            raise ValueError("nothing to compute")
        timer = loop.call_later(deadline - now, self._expire, submission)
        self._queue.add(submission)
        self._wake()
        try:
            return await submission.future
        finally:
            timer.cancel()
            self._meter.dropped(self._queue.discard(submission), DropReason.CLIENT_GONE)
            submission.retrieve()
            submission.release()

    def suspend(self, error: EngineUnavailable) -> None:
        """The engine is known to be gone: calls under way are given up and their rows wait for `resume`."""
        self._begin_outage(error)
        for task, rows in list(self._calls.items()):
            del self._calls[task]
            # A call that has ended in this very turn of the loop is still listed and has settled its rows itself.
            if task.cancel():
                self._lose(rows, error)

    def resume(self, *, proved_at: float) -> None:
        """The engine answered a call that was made at `proved_at` (`time.monotonic()`); what began later stands."""
        self._abandoned.answered()
        if self._outage is None or proved_at < self._outage.began_at:
            return
        self._outage = None
        self._stop_giving_up()
        self._wake()

    async def close(self, reason: str = "The gateway is shutting down.") -> None:
        """Fails all that waits or runs and refuses what comes, with `reason`."""
        self._closed = error = EngineUnavailable(reason)
        self._stop_giving_up()
        running = list(self._calls)
        for rows in [self._queue.waiting(), *self._calls.values()]:
            self._fail(rows, error, DropReason.SHUTDOWN)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    def _admit(self, submission: Submission, *, now: float) -> None:
        if self._closed is not None:
            raise copy(self._closed)
        if self._outage is not None:
            raise copy(self._outage.error)
        if submission.deadline <= now:
            raise _too_late()
        # A request larger than the whole queue would never fit, so it may have an empty one.
        if self._queue.tokens and self._queue.tokens + submission.tokens > self._limits.max_queued_tokens:
            raise Overloaded("Too many tokens are waiting for this model. Please try again shortly.")

    def _wake(self) -> None:
        """Cuts at the end of this turn of the loop, so that requests which arrived together go together."""
        if not self._pump_scheduled and self._queue.rows:
            self._pump_scheduled = True
            asyncio.get_running_loop().call_soon(self._pump)

    def _pump(self) -> None:
        self._pump_scheduled = False
        while len(self._calls) < self._limits.calls_in_flight and self._outage is None and self._closed is None:
            rows = self._cut()
            if not rows:
                return
            task = asyncio.get_running_loop().create_task(self._run(rows))
            self._calls[task] = rows
            task.add_done_callback(self._ended)

    def _cut(self) -> list[Row]:
        now = time.monotonic()
        may_be_long = self._queue.has_long and not any(self._queue.is_long(rows[0]) for rows in self._calls.values())
        while (seed := self._queue.take_seed(may_be_long=may_be_long)) is not None:
            if seed.abandoned:
                self._meter.dropped(1 + self._queue.discard(seed.submission), DropReason.CLIENT_GONE)
            elif seed.submission.deadline <= now:
                self._meter.dropped(1, DropReason.DEADLINE)
                self._expire(seed.submission)
            else:
                break
        else:
            return []
        rows = self._joined(seed)
        for submission in {row.submission for row in rows}:
            waited = now - submission.submitted_at
            submission.queue_seconds = max(submission.queue_seconds, waited)
            self._meter.queued(waited)
        return rows

    def _joined(self, seed: Row) -> list[Row]:
        if self._limits.one_row_a_call:
            return [seed]
        return join(
            seed,
            self._queue,
            max_batch_tokens=self._limits.max_batch_tokens,
            call_overhead_tokens=self._call_overhead_tokens,
        )

    async def _run(self, rows: list[Row]) -> None:
        try:
            await self._compute(rows)
        except EngineUnavailable as error:
            self._begin_outage(error)
            self._lose(rows, error)
            self._on_outage(error)
        except Exception as error:  # noqa: BLE001
            # The supervisor: whatever a call raises, its rows get an answer and the scheduler goes on.
            _log.exception("a model call failed in an unexpected way")
            self._fail(rows, InferenceFailed(f"The model call failed ({type(error).__name__})."))

    async def _compute(self, rows: Sequence[Row]) -> None:
        """Raises `EngineUnavailable`; every other outcome is settled here."""
        wanted = [row for row in rows if not row.abandoned]
        if not wanted:
            return
        self._meter.cut(wanted)
        started = time.monotonic()
        timeout = max(row.submission.deadline for row in wanted) - started
        try:
            result = await self._call([row.given for row in wanted], timeout_seconds=max(timeout, 0.001))
        except DeadlineExceeded as error:
            self._abandoned.add(waited_seconds=time.monotonic() - started)
            self._fail(wanted, error, DropReason.DEADLINE)
        except InferenceFailed as error:
            await self._isolate(wanted, error)
        else:
            self._deliver(wanted, result, seconds=time.monotonic() - started)

    async def _isolate(self, rows: Sequence[Row], error: InferenceFailed) -> None:
        """Halves a failed call until the row that the model refuses stands alone: it fails, its batch mates do not."""
        if len(rows) == 1:
            rows[0].submission.fail(error)
            self._queue.discard(rows[0].submission)
            return
        middle = len(rows) // 2
        for half in (rows[:middle], rows[middle:]):
            self._meter.retried(RetryReason.BATCH_FAILED)
            await self._compute(half)

    def _deliver(self, rows: Sequence[Row], result: CallResult, *, seconds: float) -> None:
        self._abandoned.answered()
        self._meter.computed(seconds)
        for place, (row, value) in enumerate(zip(rows, result.values, strict=True)):
            if place in result.invalid:
                self._fail([row], result.invalid[place])
            else:
                row.submission.deliver(row, value, infer_seconds=seconds)

    def _lose(self, rows: Sequence[Row], error: EngineUnavailable) -> None:
        """Puts rows of a lost call back in line, once. A row that may have killed the model's process goes alone."""
        died = isinstance(error, BackendProcessDied)
        self._meter.retried(RetryReason.BACKEND_PROCESS_DIED if died else RetryReason.ENGINE_UNAVAILABLE)
        for row in rows:
            if row.abandoned:
                continue
            row.lost_calls += 1
            row.alone = row.alone or died
            if row.lost_calls > 1 or self._closed is not None:
                self._fail([row], error)
            else:
                self._queue.put_back(row)

    def _begin_outage(self, error: EngineUnavailable) -> None:
        self._outage = Outage(error, began_at=time.monotonic())
        if self._give_up is None:
            loop = asyncio.get_running_loop()
            self._give_up = loop.call_later(self._limits.recovery_wait_seconds, self._fail_waiting)

    def _fail_waiting(self) -> None:
        self._give_up = None
        if self._outage is not None:
            self._fail(self._queue.waiting(), self._outage.error)

    def _stop_giving_up(self) -> None:
        if self._give_up is not None:
            self._give_up.cancel()
            self._give_up = None

    def _expire(self, submission: Submission) -> None:
        submission.fail(_too_late())
        self._meter.dropped(self._queue.discard(submission), DropReason.DEADLINE)

    def _fail(self, rows: Sequence[Row], error: GatewayError, reason: DropReason | None = None) -> None:
        for row in rows:
            row.submission.fail(error)
            dropped = self._queue.discard(row.submission)
            if reason is not None:
                self._meter.dropped(dropped, reason)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._calls.pop(task, None)
        self._last_busy_at = time.monotonic()
        self._wake()


def _too_late() -> DeadlineExceeded:
    return DeadlineExceeded("The request took longer than it may.")
