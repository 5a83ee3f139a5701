"""One model's scheduler: a batch is cut when a slot frees, by pressure and never by the clock.

Own code: Triton's dynamic batcher merges equal lengths only and cannot drop, retry or isolate a row, and no library
batches by token budget. An idle server waits for nobody; under load, rows pile up while calls run and leave in cuts
of like length. Interactive rows have call slots beside everybody else's, so that no lane waits for another.
Nothing here ends a scheduler: what fails, fails for the rows concerned.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass

from gateway.batching.abandoned import AbandonedCalls
from gateway.batching.call import CallResult, ModelCall
from gateway.batching.cutting import join
from gateway.batching.limits import SchedulerLimits
from gateway.batching.meter import Meter
from gateway.batching.queue import RowQueue, equally
from gateway.batching.submission import Outcome, Row, Submission
from gateway.batching.under_way import CallsUnderWay, Sent
from gateway.errors import (
    BackendProcessDied,
    DeadlineExceeded,
    EngineUnavailable,
    GatewayError,
    InferenceFailed,
    Overloaded,
)
from gateway.telemetry.afterwards import afterwards
from gateway.telemetry.metrics import DropReason, RetryReason
from gateway.types import TokenRow

_log = logging.getLogger(__name__)

# Interactive requests are taken to go on for so long after the last one.
_PRESSURE_SECONDS = 0.25


@dataclass(frozen=True, slots=True)
class Outage:
    """Why nothing is sent now, and since when by the scheduler's clock."""

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
        weight_of: Callable[[str], float] = equally,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`on_outage` is told of an outage that a call ran into, so that whoever watches the engine looks at once.
        `weight_of` gives a caller's share beside others'. All times are readings of `clock`, in seconds."""
        self._call = call
        self._limits = limits
        self._meter = meter
        self._on_outage = on_outage
        self._clock = clock
        self._queue = RowQueue(
            long_row_tokens=limits.long_row_tokens,
            interactive_tokens=limits.interactive_tokens,
            weight_of=weight_of,
        )
        self._calls = CallsUnderWay()
        self._outage: Outage | None = None
        self._give_up: asyncio.TimerHandle | None = None
        self._pump_scheduled = False
        self._closed: EngineUnavailable | None = None
        self._last_busy_at = clock()
        self._pressure_until = 0.0
        self._abandoned = AbandonedCalls(clock=clock)
        meter.watch(rows=lambda: self._queue.rows, tokens=lambda: self._queue.tokens, calls=lambda: len(self._calls))

    @property
    def outage(self) -> Outage | None:
        return self._outage

    @property
    def idle(self) -> bool:
        return not self._queue.rows and not len(self._calls)

    @property
    def idle_seconds(self) -> float:
        """How long nothing has waited or run; 0 while something does, or may though its callers are gone."""
        busy_until = max(self._last_busy_at, self._abandoned.until())
        return max(self._clock() - busy_until, 0.0) if self.idle else 0.0

    async def submit(self, rows: Sequence[TokenRow], *, deadline: float, caller: str = "") -> Outcome:
        """Computes the values of `rows`, in order; `deadline` is a reading of the clock and `caller` whose
        rows they are.

        Cancelling drops the rows that have not been sent, and calls under way that hold no others. Raises
        `Overloaded`, `EngineUnavailable`, `DeadlineExceeded` or `InferenceFailed` for these rows alone; the first
        failing row decides.
        """
        loop = asyncio.get_running_loop()
        now = self._clock()
        submission = Submission(
            rows,
            deadline=deadline,
            now=now,
            future=loop.create_future(),
            caller=caller,
            block_tokens=self._limits.block_tokens,
        )
        self._admit(submission, now=now)
        if not submission.rows:
            raise ValueError("nothing to compute")
        timer = loop.call_later(deadline - now, self._expire, submission)
        self._queue.add(submission)
        if self._queue.has_interactive:
            self._pressure_until = now + _PRESSURE_SECONDS
        self._wake()
        try:
            return await submission.future
        finally:
            timer.cancel()
            if submission.remaining:
                self._meter.dropped(self._queue.discard(submission), DropReason.CLIENT_GONE)
                self._give_up_abandoned()
            submission.retrieve()
            submission.release()

    def suspend(self, error: EngineUnavailable) -> None:
        """The engine is known to be gone: calls under way are given up and their rows wait for `resume`."""
        self._begin_outage(error)
        self._abandoned.over()
        for task, sent in self._calls.items():
            self._calls.end(task)
            # A call that has ended in this very turn of the loop is still listed and has settled its rows itself.
            if task.cancel():
                self._lose(sent.rows, error)

    def resume(self, *, proved_at: float) -> None:
        """The engine answered a call that was made at `proved_at` by the clock; what began later stands."""
        self._abandoned.over()
        if self._outage is None or proved_at < self._outage.began_at:
            return
        self._outage = None
        self._stop_giving_up()
        self._wake()

    async def close(self, reason: str = "The gateway is shutting down.") -> None:
        """Fails all that waits or runs and refuses what comes, with `reason`."""
        self._closed = error = EngineUnavailable(reason)
        self._stop_giving_up()
        running = self._calls.items()
        for rows in [self._queue.waiting(), *(sent.rows for _, sent in running)]:
            self._fail(rows, error, DropReason.SHUTDOWN)
        for task, _ in running:
            task.cancel()
        await asyncio.gather(*(task for task, _ in running), return_exceptions=True)

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
        limits, calls = self._limits, self._calls
        if self._outage is not None or self._closed is not None:
            return
        now = self._clock()
        while calls.urgent < limits.calls_in_flight and self._start(
            self._queue.take_urgent_seed, max_batch_tokens=limits.max_batch_tokens, now=now, is_urgent=True
        ):
            pass
        if not self._queue.rows:
            return
        under_pressure = not limits.urgent_beside_others and now < self._pressure_until
        while calls.others < limits.bulk_calls(under_pressure=under_pressure) and self._start(
            self._take_other_seed,
            max_batch_tokens=limits.bulk_tokens(waiting_tokens=self._queue.tokens, under_pressure=under_pressure),
            now=now,
        ):
            pass

    def _take_other_seed(self) -> Row | None:
        return self._queue.take_seed(may_be_long=not self._calls.long)

    def _start(
        self, take_seed: Callable[[], Row | None], *, max_batch_tokens: int, now: float, is_urgent: bool = False
    ) -> bool:
        """Cuts one call and sends it; False when there is nobody to cut it of."""
        while (seed := take_seed()) is not None:
            rows = self._wanted(self._joined(seed, max_batch_tokens), now=now)
            if rows:
                break
        else:
            return False
        task = asyncio.get_running_loop().create_task(self._run(rows, is_urgent=is_urgent))
        self._calls.begin(task, Sent(rows, is_urgent=is_urgent, is_long=self._queue.is_long(seed)))
        task.add_done_callback(self._ended)
        self._note_waits(rows, now=now)
        return True

    def _joined(self, seed: Row, max_batch_tokens: int) -> list[Row]:
        if self._limits.one_row_a_call or not self._queue.rows:
            return [seed]
        return join(
            seed,
            self._queue,
            max_batch_tokens=max_batch_tokens,
            call_overhead_tokens=self._limits.call_overhead_tokens,
        )

    def _wanted(self, rows: list[Row], *, now: float) -> list[Row]:
        """Those of a cut's rows that somebody still waits for."""
        gone = {row.submission for row in rows if row.submission.future.done() or row.submission.deadline <= now}
        if not gone:
            return rows
        for submission in gone:
            reason = DropReason.CLIENT_GONE if submission.future.done() else DropReason.DEADLINE
            submission.fail(_too_late())
            dropped = sum(row.submission is submission for row in rows) + self._queue.discard(submission)
            self._meter.dropped(dropped, reason)
        return [row for row in rows if row.submission not in gone]

    def _note_waits(self, rows: Sequence[Row], *, now: float) -> None:
        waits = []
        for submission in {row.submission for row in rows}:
            waits.append(waited := now - submission.submitted_at)
            submission.queue_seconds = max(submission.queue_seconds, waited)
        afterwards(self._meter.queued, waits)

    async def _run(self, rows: list[Row], *, is_urgent: bool) -> None:
        try:
            await self._compute(rows, is_urgent=is_urgent)
        except EngineUnavailable as error:
            self._begin_outage(error)
            self._lose(rows, error)
            self._on_outage(error)
        except Exception as error:  # noqa: BLE001
            # The supervisor: whatever a call raises, its rows get an answer and the scheduler goes on.
            _log.exception("a model call failed in an unexpected way")
            self._fail(rows, InferenceFailed(f"The model call failed ({type(error).__name__})."))

    async def _compute(self, rows: Sequence[Row], *, is_urgent: bool) -> None:
        """Raises `EngineUnavailable`; every other outcome is settled here."""
        wanted = [row for row in rows if not row.abandoned]
        if not wanted:
            return
        afterwards(self._meter.cut, wanted)
        started = self._clock()
        timeout = max([one.deadline for one in {row.submission for row in wanted}]) - started
        given = [row.given for row in wanted]
        try:
            result = await self._call(given, timeout_seconds=max(timeout, 0.001), urgent=is_urgent)
        except DeadlineExceeded as error:
            self._abandoned.add(waited_seconds=self._clock() - started)
            self._fail(wanted, error, DropReason.DEADLINE)
        except InferenceFailed as error:
            await self._isolate(wanted, error, is_urgent=is_urgent)
        else:
            self._deliver(wanted, result, seconds=self._clock() - started)

    async def _isolate(self, rows: Sequence[Row], error: InferenceFailed, *, is_urgent: bool) -> None:
        """Halves a failed call until the row that the model refuses stands alone: it fails, its batch mates do not."""
        if len(rows) == 1:
            rows[0].submission.fail(error)
            self._queue.discard(rows[0].submission)
            return
        middle = len(rows) // 2
        for half in (rows[:middle], rows[middle:]):
            self._meter.retried(RetryReason.BATCH_FAILED)
            await self._compute(half, is_urgent=is_urgent)

    def _deliver(self, rows: Sequence[Row], result: CallResult, *, seconds: float) -> None:
        self._abandoned.over()
        invalid = result.invalid
        for place, (row, value) in enumerate(zip(rows, result.values, strict=True)):
            if place in invalid:
                self._fail([row], invalid[place])
            else:
                row.submission.deliver(row, value, infer_seconds=seconds)
        afterwards(self._meter.computed, seconds)

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

    def _give_up_abandoned(self) -> None:
        """Cancels calls that nobody waits for any more, so that the engine need not begin them."""
        for task, sent in self._calls.items():
            if sent.abandoned and (self._limits.stops_short_calls or sent.is_long) and task.cancel():
                self._abandoned.cancelled(deadline=sent.deadline)

    def _begin_outage(self, error: EngineUnavailable) -> None:
        self._outage = Outage(error, began_at=self._clock())
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
        self._calls.end(task)
        self._last_busy_at = self._clock()
        self._wake()


def _too_late() -> DeadlineExceeded:
    return DeadlineExceeded("The request took longer than it may.")
