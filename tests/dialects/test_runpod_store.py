"""Held jobs: never beyond the bounds, never another caller's, never gone before their time unless they were fetched."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, multiple, rule

from gateway.dialects.runpod_store import LEAST_BYTES, JobStatus, JobStore, StoredJob, StoreLimits
from gateway.errors import Overloaded

LIMITS = StoreLimits(max_jobs=8, max_bytes=16 * LEAST_BYTES, callers_share=0.5)
CALLERS = ("ann", "bob", "")
KEEPS = (60.0, 1800.0)
SIZES = st.integers(0, 10 * LEAST_BYTES)


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Shadow:
    """What the test itself knows of a job."""

    job: StoredJob
    caller: str
    ends: float | None = None
    answer: bytes = b""
    is_delivered: bool = False
    is_gone: bool = False


class Holding(RuleBasedStateMachine):
    jobs = Bundle("jobs")

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.store = JobStore(LIMITS, self.clock)
        self.shadows: list[Shadow] = []
        self.count = 0

    def expire(self) -> None:
        for shadow in self.shadows:
            if shadow.ends is not None and shadow.ends <= self.clock.now:
                shadow.is_gone = True

    def note_evictions(self) -> None:
        """Of what has not expired only what was delivered may be gone."""
        self.expire()
        for shadow in self.shadows:
            if not shadow.is_gone and self.store.find(shadow.job.id, caller=shadow.caller) is None:
                assert shadow.is_delivered
                shadow.is_gone = True

    @rule(target=jobs, caller=st.sampled_from(CALLERS), size=SIZES, keep=st.sampled_from(KEEPS))
    def add(self, caller: str, size: int, keep: float) -> object:
        self.count += 1
        try:
            job = self.store.add(f"job-{self.count}", caller=caller, input_bytes=size, keep_seconds=keep)
        except Overloaded:
            self.note_evictions()
            return multiple()
        shadow = Shadow(job, caller)
        self.shadows.append(shadow)
        self.note_evictions()
        return shadow

    @rule(shadow=jobs)
    def start(self, shadow: Shadow) -> None:
        if shadow.job.status is JobStatus.IN_QUEUE:
            self.store.start(shadow.job)

    @rule(shadow=jobs, size=SIZES, status=st.sampled_from(JobStatus))
    def end(self, shadow: Shadow, size: int, status: JobStatus) -> None:
        if not status.is_final:
            return
        was_over = shadow.ends is not None
        answer = b"x" * size
        is_kept = self.store.end(shadow.job, status, answer)
        assert not (is_kept and was_over)
        if not was_over and not is_kept:
            assert size > LEAST_BYTES
            assert self.store.end(shadow.job, JobStatus.FAILED, b"")
            answer = b""
        if not was_over:
            shadow.ends, shadow.answer = self.clock.now + shadow.job.keep_seconds, answer
        self.note_evictions()

    @rule(shadow=jobs)
    def fetch(self, shadow: Shadow) -> None:
        self.expire()
        job = self.store.find(shadow.job.id, caller=shadow.caller)
        assert (job is None) == shadow.is_gone
        if job is not None:
            assert job.answer == shadow.answer
            self.store.mark_delivered(job)
            shadow.is_delivered = shadow.ends is not None

    @rule(shadow=jobs, other=st.sampled_from(CALLERS))
    def pry(self, shadow: Shadow, other: str) -> None:
        if other != shadow.caller:
            assert self.store.find(shadow.job.id, caller=other) is None

    @rule(shadow=consumes(jobs))
    def remove(self, shadow: Shadow) -> None:
        self.store.remove(shadow.job)
        self.store.remove(shadow.job)
        shadow.is_gone = True

    @rule(seconds=st.sampled_from([1.0, 30.0, 59.0, 61.0, 2000.0]))
    def wait(self, seconds: float) -> None:
        self.clock.now += seconds
        self.store.forget_expired()
        self.note_evictions()

    @invariant()
    def stays_within_its_bounds(self) -> None:
        held = [shadow.job for shadow in self.shadows if not shadow.is_gone]
        assert len(self.store) == len(held) <= LIMITS.max_jobs
        assert self.store.held_bytes == sum(job.held_bytes for job in held) <= LIMITS.max_bytes
        assert all(job.held_bytes >= max(LEAST_BYTES, len(job.answer)) for job in held)
        for caller in filter(None, CALLERS):
            own = [job for job in held if job.caller == caller]
            assert len(own) <= LIMITS.max_jobs * LIMITS.callers_share
            assert sum(job.held_bytes for job in own) <= LIMITS.max_bytes * LIMITS.callers_share


Holding.TestCase.settings = settings(max_examples=80, stateful_step_count=30, deadline=None)
TestHolding = Holding.TestCase


def test_no_callers_jobs_keep_another_ones_out() -> None:
    store = JobStore(StoreLimits(max_jobs=8, max_bytes=64 * LEAST_BYTES, callers_share=0.5), Clock())
    for number in range(4):
        store.add(f"a{number}", caller="ann", input_bytes=1, keep_seconds=60)
    with pytest.raises(Overloaded) as caught:
        store.add("a4", caller="ann", input_bytes=1, keep_seconds=60)
    assert caught.value.code == "too_many_jobs"
    assert store.add("b0", caller="bob", input_bytes=1, keep_seconds=60)


def test_where_nobody_is_told_apart_all_of_the_room_is_everybodys() -> None:
    store = JobStore(StoreLimits(max_jobs=8, max_bytes=64 * LEAST_BYTES, callers_share=0.25), Clock())
    for number in range(8):
        store.add(str(number), caller="", input_bytes=1, keep_seconds=60)
    with pytest.raises(Overloaded):
        store.add("8", caller="", input_bytes=1, keep_seconds=60)


def test_what_was_fetched_gives_way_the_first_fetched_first() -> None:
    store = JobStore(StoreLimits(max_jobs=3, max_bytes=64 * LEAST_BYTES), Clock())
    jobs = [store.add(name, caller="", input_bytes=1, keep_seconds=60) for name in "abc"]
    for job in jobs:
        store.end(job, JobStatus.COMPLETED, b"1")
    for job in (jobs[1], jobs[0], jobs[1]):
        store.mark_delivered(job)
    store.add("d", caller="", input_bytes=1, keep_seconds=60)
    assert [name for name in "abcd" if store.find(name, caller="")] == ["a", "c", "d"]
    store.add("e", caller="", input_bytes=1, keep_seconds=60)
    assert [name for name in "abcde" if store.find(name, caller="")] == ["c", "d", "e"]
    with pytest.raises(Overloaded):
        store.add("f", caller="", input_bytes=1, keep_seconds=60)


def test_a_job_under_way_that_was_asked_for_does_not_give_way() -> None:
    store = JobStore(StoreLimits(max_jobs=1, max_bytes=64 * LEAST_BYTES), Clock())
    store.mark_delivered(store.add("a", caller="", input_bytes=1, keep_seconds=60))
    with pytest.raises(Overloaded):
        store.add("b", caller="", input_bytes=1, keep_seconds=60)


def test_jobs_let_in_leave_room_for_answers() -> None:
    store = JobStore(StoreLimits(max_jobs=99, max_bytes=8 * LEAST_BYTES), Clock())
    jobs = [store.add(str(number), caller="", input_bytes=1, keep_seconds=60) for number in range(6)]
    with pytest.raises(Overloaded):
        store.add("6", caller="", input_bytes=1, keep_seconds=60)
    assert store.end(jobs[0], JobStatus.COMPLETED, b"x" * 3 * LEAST_BYTES)
    assert not store.end(jobs[1], JobStatus.COMPLETED, b"x" * 2 * LEAST_BYTES)


def test_nothing_grows_with_the_jobs_that_have_come_and_gone() -> None:
    store = JobStore(StoreLimits(max_jobs=4, max_bytes=64 * LEAST_BYTES), Clock())
    for number in range(1000):
        job = store.add(str(number), caller=f"caller {number}", input_bytes=1, keep_seconds=60)
        store.end(job, JobStatus.COMPLETED, b"1")
        store.mark_delivered(job)
    sizes = [len(store._jobs), len(store._delivered), len(store._over[60]), len(store._by_caller)]
    assert max(sizes) <= 5
