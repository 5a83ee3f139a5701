"""Holds jobs until somebody asks for them: each its caller's own, bounded in number, in bytes and in time.

Nothing here waits or runs: one event loop calls it, and each call is done when it returns.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum

from gateway.errors import Overloaded

# What a job counts for at least: its record, and a sentence about why it failed.
LEAST_BYTES = 1024
# Beyond this part of the room no job is let in: the rest is for the answers of those that are.
_ADMITTED = 0.75
_RETRY_AFTER_SECONDS = 5


class JobStatus(Enum):
    """RunPod's words."""

    IN_QUEUE = "IN_QUEUE"
    IN_PROGRESS = "IN_PROGRESS"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    TIMED_OUT = "TIMED_OUT"

    @property
    def is_final(self) -> bool:
        return self not in (JobStatus.IN_QUEUE, JobStatus.IN_PROGRESS)


@dataclass(frozen=True, slots=True)
class StoreLimits:
    """`callers_share` is how much of jobs and bytes one caller may hold where callers are told apart."""

    max_jobs: int = 2048
    max_bytes: int = 256 * 1024 * 1024
    callers_share: float = 0.25


@dataclass(slots=True)
class StoredJob:
    """`caller` is an opaque name for whose it is. `held_bytes` are its input's until it is over, then its answer's.
    Times are readings of the store's clock, in seconds. `answer` is JSON: the output, or the sentence of an error."""

    id: str
    caller: str
    keep_seconds: float
    held_bytes: int
    submitted: float
    status: JobStatus = JobStatus.IN_QUEUE
    started: float | None = None
    ended: float | None = None
    answer: bytes = b""


@dataclass(slots=True)
class _Held:
    jobs: int = 0
    bytes: int = 0


@dataclass(frozen=True, slots=True)
class _Room:
    jobs: float
    bytes: float

    def has(self, held: _Held) -> bool:
        return held.jobs <= self.jobs and held.bytes <= self.bytes

    def part(self, share: float) -> _Room:
        return _Room(self.jobs * share, self.bytes * share)


@dataclass(slots=True)
class JobStore:
    """What was delivered makes room for what is new; what nobody has asked for yet is kept until its time is over."""

    limits: StoreLimits = StoreLimits()
    clock: Callable[[], float] = time.monotonic
    _jobs: dict[str, StoredJob] = field(default_factory=dict)
    _all: _Held = field(default_factory=_Held)
    _by_caller: dict[str, _Held] = field(default_factory=lambda: defaultdict(_Held))
    _delivered: dict[str, None] = field(default_factory=dict)  # in the order of their first delivery
    # What is over, by how long it is kept: in each line the first to end is the first to be forgotten.
    _over: dict[float, dict[str, None]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self._jobs)

    @property
    def held_bytes(self) -> int:
        return self._all.bytes

    def add(self, job_id: str, *, caller: str, input_bytes: int, keep_seconds: float) -> StoredJob:
        """A new job in the queue. `keep_seconds` is how long its answer is kept. Raises `Overloaded` where there is no
        room for it."""
        self.forget_expired()
        size = max(LEAST_BYTES, input_bytes)
        room = _Room(self.limits.max_jobs, self.limits.max_bytes * _ADMITTED)
        if not self._make_room(caller, jobs=1, size=size, room=room):
            raise Overloaded(
                "There is no room for another job. Fetch the answers of earlier ones by `/status`, or try again later.",
                retry_after_seconds=_RETRY_AFTER_SECONDS,
                code="too_many_jobs",
            )
        job = StoredJob(job_id, caller, keep_seconds, held_bytes=size, submitted=self.clock())
        self._jobs[job_id] = job
        self._count(caller, jobs=1, size=size)
        return job

    def find(self, job_id: str, *, caller: str) -> StoredJob | None:
        """The caller's own job of this id; nobody hears of another's."""
        self.forget_expired()
        job = self._jobs.get(job_id)
        return job if job is not None and job.caller == caller else None

    def start(self, job: StoredJob) -> None:
        job.status, job.started = JobStatus.IN_PROGRESS, self.clock()

    def end(self, job: StoredJob, status: JobStatus, answer: bytes) -> bool:
        """Keeps the answer for the job's `keep_seconds`, or returns False where there is no room for it."""
        if self._jobs.get(job.id) is not job or job.status.is_final:
            return False
        self.forget_expired()
        growth = max(LEAST_BYTES, len(answer)) - job.held_bytes
        room = _Room(self.limits.max_jobs, self.limits.max_bytes)
        if growth > 0 and not self._make_room(job.caller, jobs=0, size=growth, room=room):
            return False
        self._count(job.caller, jobs=0, size=growth)
        job.held_bytes += growth
        job.status, job.answer, job.ended = status, answer, self.clock()
        self._over.setdefault(job.keep_seconds, {})[job.id] = None
        return True

    def mark_delivered(self, job: StoredJob) -> None:
        """Its caller has the answer: it may give way to others."""
        if job.status.is_final and self._jobs.get(job.id) is job:
            self._delivered.setdefault(job.id)

    def remove(self, job: StoredJob) -> None:
        if self._jobs.get(job.id) is job:
            del self._jobs[job.id]
            self._delivered.pop(job.id, None)
            self._over.get(job.keep_seconds, {}).pop(job.id, None)
            self._count(job.caller, jobs=-1, size=-job.held_bytes)

    def forget_expired(self) -> None:
        now = self.clock()
        for keep_seconds, line in self._over.items():
            while line:
                job = self._jobs[next(iter(line))]
                if job.ended is None or job.ended + keep_seconds > now:
                    break
                self.remove(job)

    def _make_room(self, caller: str, *, jobs: int, size: int, room: _Room) -> bool:
        """Whether there is room for the caller to hold so much more, once delivered jobs have given way: the caller's
        own where its share is used up, the oldest of anybody's where all room is."""
        own_room = room.part(self.limits.callers_share) if caller else room
        return self._evict_until(own_room, self._by_caller[caller], jobs=jobs, size=size, of=caller) and (
            self._evict_until(room, self._all, jobs=jobs, size=size, of=None)
        )

    def _evict_until(self, room: _Room, held: _Held, *, jobs: int, size: int, of: str | None) -> bool:
        while not room.has(_Held(held.jobs + jobs, held.bytes + size)):
            candidates = (self._jobs[job_id] for job_id in self._delivered)
            job = next((job for job in candidates if of is None or job.caller == of), None)
            if job is None:
                return False
            self.remove(job)
        return True

    def _count(self, caller: str, *, jobs: int, size: int) -> None:
        own = self._by_caller[caller]
        for held in (self._all, own):
            held.jobs += jobs
            held.bytes += size
        if not own.jobs:
            del self._by_caller[caller]
