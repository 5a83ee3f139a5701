"""The scheduler as a state machine: whatever callers, time and the engine do, in any order, its promises hold.

The engine takes a time by the tokens of a call and fails as it is told; time is virtual, so that hours cost nothing and
every run of the same steps is the same.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from gateway.batching.call import CallResult
from gateway.batching.limits import SchedulerLimits
from gateway.batching.meter import Meter
from gateway.batching.scheduler import Scheduler
from gateway.batching.submission import Outcome
from gateway.errors import (
    BackendProcessDied,
    DeadlineExceeded,
    EngineUnavailable,
    GatewayError,
    InferenceFailed,
    InvalidVector,
)
from gateway.telemetry.metrics import build_metrics
from gateway.types import TokenRow
from tests.support.scripted_call import row, vector_of
from tests.support.virtual_time import VirtualLoop

BUDGET, LONG, INTERACTIVE, SLOTS = 256, 120, 100, 2
TOKEN_SECONDS = 0.001
# Longer than all that is ever asked for takes: 40 requests of 25 texts of 150 tokens, twice.
PATIENT_SECONDS = 1000.0
FAULTS = (
    InferenceFailed("refused"),
    EngineUnavailable("gone"),
    BackendProcessDied("died"),
    ValueError("nobody thought of it"),
    DeadlineExceeded("late"),
)


@dataclass
class Request:
    """What was asked for, and what became of it."""

    ids: Sequence[int]
    lengths: Sequence[int]
    deadline: float
    is_patient: bool
    cancelled_at: float | None = None
    task: asyncio.Task[Outcome] | None = None

    @property
    def is_interactive(self) -> bool:
        return sum(self.lengths) <= INTERACTIVE and max(self.lengths) <= LONG


@dataclass
class Engine:
    """Implements `gateway.batching.call.ModelCall`, and checks every call by itself."""

    loop: VirtualLoop
    block_tokens: int = 1
    requests: dict[int, Request] = field(default_factory=dict)
    faults: list[Exception] = field(default_factory=list)
    invalid: set[int] = field(default_factory=set)
    times_sent: dict[int, int] = field(default_factory=dict)
    may_repeat: bool = False
    was_late: bool = False
    urgent: int = 0
    others: int = 0
    long: int = 0
    broken: list[str] = field(default_factory=list)

    async def __call__(self, rows: Sequence[TokenRow], *, timeout_seconds: float, urgent: bool = False) -> CallResult:
        ids, lengths = [int(one.ids[0]) for one in rows], [len(one.ids) for one in rows]
        self._check(ids, lengths, timeout_seconds=timeout_seconds, urgent=urgent)
        is_long = max(lengths) > LONG
        self._count(+1, urgent=urgent, is_long=is_long)
        try:
            fault = self.faults.pop() if self.faults else None
            await asyncio.sleep(TOKEN_SECONDS * len(rows) * max(lengths))
            if fault is not None:
                self.may_repeat = True
                self.was_late = self.was_late or isinstance(fault, DeadlineExceeded)
                raise fault
        finally:
            self._count(-1, urgent=urgent, is_long=is_long)
        bad = {place: InvalidVector("NaN") for place, one in enumerate(ids) if one in self.invalid}
        return CallResult([vector_of(one.ids) for one in rows], bad)

    def computed(self, length: int) -> int:
        """In whole blocks."""
        return math.ceil(length / self.block_tokens) * self.block_tokens

    def _check(self, ids: list[int], lengths: list[int], *, timeout_seconds: float, urgent: bool) -> None:
        now, asked = self.loop.time(), [self.requests[one] for one in ids]
        self._must(len(set(ids)) == len(ids), "a row comes twice in a call")
        self._must(len(ids) == 1 or len(ids) * self.computed(max(lengths)) <= BUDGET, "a call is over the budget")
        self._must(len({length > LONG for length in lengths}) == 1, "long and short rows share a call")
        self._must(all(one.deadline > now for one in asked), "a row is sent that has expired")
        self._must(all(one.cancelled_at is None for one in asked), "a row is sent whose caller has left")
        self._must(all(one.is_interactive is urgent for one in asked), "a call has rows of two lanes")
        last = max(one.deadline for one in asked)
        self._must(abs(timeout_seconds - (last - now)) < 1e-3, "a call's time is not that of its last deadline")
        for one in ids:
            self.times_sent[one] = self.times_sent.get(one, 0) + 1
            self._must(self.may_repeat or self.times_sent[one] == 1, "a row is sent twice though nothing failed")

    def _count(self, change: int, *, urgent: bool, is_long: bool) -> None:
        self.urgent += change * urgent
        self.others += change * (not urgent)
        self.long += change * is_long
        self._must(self.urgent <= SLOTS, "too many urgent calls")
        self._must(self.others <= SLOTS, "too many calls")
        self._must(self.long <= 1, "two long calls")

    def _must(self, holds: bool, otherwise: str) -> None:
        if not holds:
            self.broken.append(otherwise)


class SchedulerMachine(RuleBasedStateMachine):
    @initialize(beside_others=st.booleans(), block_tokens=st.sampled_from([1, 16]))
    def start(self, beside_others: bool, block_tokens: int) -> None:
        self.loop = VirtualLoop()
        self.engine = Engine(self.loop, block_tokens=block_tokens)
        limits = SchedulerLimits(
            max_batch_tokens=BUDGET,
            max_queued_tokens=10**6,
            calls_in_flight=SLOTS,
            recovery_wait_seconds=5.0,
            long_row_tokens=LONG,
            interactive_tokens=INTERACTIVE,
            urgent_beside_others=beside_others,
            block_tokens=block_tokens,
        )
        meter = Meter(build_metrics(version="test"), model="scripted")
        self.scheduler = Scheduler(
            self.engine, limits=limits, meter=meter, clock=self.loop.time, weight_of=lambda caller: 1.0 + len(caller)
        )
        self.requests: list[Request] = []
        self.next_id = 0

    @rule(
        lengths=st.lists(st.integers(1, 150), min_size=1, max_size=25),
        seconds=st.sampled_from([0.05, 1.0, PATIENT_SECONDS, PATIENT_SECONDS]),
        caller=st.sampled_from(["", "a", "bb"]),
        adapter=st.integers(0, 1),
        invalid=st.booleans(),
    )
    def ask(self, *, lengths: list[int], seconds: float, caller: str, adapter: int, invalid: bool) -> None:
        ids = range(self.next_id, self.next_id + len(lengths))
        self.next_id += len(lengths)
        request = Request(ids, lengths, self.loop.time() + seconds, is_patient=seconds >= PATIENT_SECONDS)
        self.engine.requests |= dict.fromkeys(ids, request)
        if invalid and len(lengths) % 5 == 0:
            self.engine.invalid.add(ids[0])
        rows = [row(one, length, adapter) for one, length in zip(ids, lengths, strict=True)]
        request.task = self.loop.create_task(self.scheduler.submit(rows, deadline=request.deadline, caller=caller))
        self.requests.append(request)

    @rule(lengths=st.lists(st.integers(1, 150), min_size=1, max_size=5))
    def ask_and_leave_before_anything_is_cut(self, lengths: list[int]) -> None:
        self.ask(lengths=lengths, seconds=PATIENT_SECONDS, caller="", adapter=0, invalid=False)
        request = self.requests[-1]

        async def leave() -> None:
            # Its rows have just come into line, and the next turn of the loop cuts.
            assert request.task is not None
            request.task.cancel()
            request.cancelled_at = self.loop.time()

        self.loop.run(leave())

    @rule(seconds=st.sampled_from([0.0, 0.0, 0.01, 0.1, 1.0]))
    def pass_time(self, seconds: float) -> None:
        self.loop.run_for(seconds)

    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        waiting = [one for one in self.requests if one.task is not None and not one.task.done()]
        if waiting:
            request = data.draw(st.sampled_from(waiting))
            assert request.task is not None
            request.task.cancel()
            request.cancelled_at = self.loop.time()

    @rule(fault=st.sampled_from(FAULTS))
    def spoil_a_call(self, fault: Exception) -> None:
        self.engine.faults.append(fault)

    @rule()
    def find_the_engine_gone(self) -> None:
        self.engine.may_repeat = True
        self._tell(lambda: self.scheduler.suspend(EngineUnavailable("no answer")))

    @rule()
    def find_it_back(self) -> None:
        self._tell(lambda: self.scheduler.resume(proved_at=self.loop.time()))

    def _tell(self, tell: Callable[[], None]) -> None:
        async def within_the_loop() -> None:
            tell()

        self.loop.run(within_the_loop())

    @invariant()
    def nothing_was_sent_that_must_not_be(self) -> None:
        assert not self.engine.broken

    def teardown(self) -> None:
        if not hasattr(self, "loop"):
            return
        try:
            self.loop.run(self._everybody_is_answered())
            assert not self.engine.broken
            for request in self.requests:
                self._check(request)
        finally:
            self.loop.run(self.scheduler.close())
            self.loop.close()

    async def _everybody_is_answered(self) -> None:
        """Without faults everything ends: the work there is takes minutes, the longest deadline is in some more."""
        self.engine.faults.clear()
        tasks = [request.task for request in self.requests if request.task is not None]
        while any(not task.done() for task in tasks):
            self.scheduler.resume(proved_at=self.loop.time())
            await asyncio.sleep(0.5)
        while not self.scheduler.idle:  # noqa: ASYNC110 - a state, not an event, and no time passes
            await asyncio.sleep(0.5)
        assert self.engine.urgent == self.engine.others == 0
        queue = self.scheduler._queue
        assert (queue.rows, queue.tokens, queue.waiting()) == (0, 0, []), "what is counted as waiting waits for ever"

    def _check(self, request: Request) -> None:
        assert request.task is not None
        with contextlib.suppress(asyncio.CancelledError, GatewayError):
            outcome = request.task.result()
            given = [vector_of(row(one, length).ids) for one, length in zip(request.ids, request.lengths, strict=True)]
            np.testing.assert_array_equal(outcome.values, given)
            assert not self.engine.invalid & set(request.ids)
            return
        if request.cancelled_at is not None:
            return
        error = request.task.exception()
        if isinstance(error, DeadlineExceeded):
            assert self.engine.was_late or not request.is_patient, "a row was lost on the way"
        elif not self.engine.may_repeat:
            assert isinstance(error, InvalidVector), "nothing went wrong with it"
            assert self.engine.invalid & set(request.ids)


SchedulerMachine.TestCase.settings = settings(
    max_examples=60, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
TestSchedulerMachine = SchedulerMachine.TestCase
