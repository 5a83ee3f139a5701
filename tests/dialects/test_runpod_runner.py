"""Jobs in the background: so many at a time, callers in turn, cancelled wherever they are, none lost or left over."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import Any

import orjson
import pytest

from gateway import errors
from gateway.dialects import runpod_runner
from gateway.dialects.base import Services
from gateway.dialects.inputs import InputLimits
from gateway.dialects.runpod_limits import JobLimits
from gateway.dialects.runpod_runner import JobRunner, Submission
from gateway.dialects.runpod_store import LEAST_BYTES, JobStatus, JobStore, StoreLimits
from gateway.errors import MalformedBody, Overloaded
from gateway.types import EmbedRequest, TextInput
from tests.support.instant_services import InstantServices, expected_vector

LIMITS = JobLimits(
    inputs=InputLimits(max_inputs=8, max_image_bytes=10_000), request_timeout_seconds=30, max_output_bytes=200_000
)


class Bench:
    """A runner in front of services that can be held up."""

    def __init__(self, runner: JobRunner, instant: InstantServices, services: Services, store: JobStore) -> None:
        self.runner, self.instant, self.services, self.store = runner, instant, services, store

    def submit(self, text: str, *, caller: str = "", is_awaited: bool = False, **job: Any) -> Submission:
        job = {"input": {"input": text}} | job
        return self.runner.submit(job, services=self.services, caller=caller, is_awaited=is_awaited)

    @property
    def worked_on(self) -> list[str]:
        return [item.text for one in self.instant.embedder.seen for item in one.inputs if isinstance(item, TextInput)]


@asynccontextmanager
async def bench(*, concurrency: int = 2, store: JobStore | None = None) -> AsyncIterator[Bench]:
    instant = InstantServices()
    store = JobStore() if store is None else store
    runner = JobRunner(LIMITS, concurrency=concurrency, store=store)
    async with instant.start() as services, runner.running():
        yield Bench(runner, instant, services, store)


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not is_so():  # noqa: ASYNC110
            await asyncio.sleep(0.001)


async def test_a_job_is_run_and_its_answer_kept() -> None:
    async with bench() as run:
        submission = run.submit("a")
        await submission.wait(10)
        stored = run.runner.find(submission.stored.id, caller="")
        assert stored is submission.stored
        assert stored.status is submission.status is JobStatus.COMPLETED
        output = orjson.loads(stored.answer)
        assert output["data"][0]["embedding"] == pytest.approx(expected_vector(TextInput("a")).tolist())
        assert stored.started is not None
        assert stored.ended is not None
        assert stored.submitted <= stored.started <= stored.ended
        assert submission.payload == b""


async def test_so_many_run_at_a_time_and_all_are_run() -> None:
    async with bench(concurrency=3) as run:
        run.instant.embedder.pause_seconds = 0.002
        most = 0
        submissions = [run.submit(str(number), caller=f"caller {number % 4}") for number in range(40)]
        while not all(one.over.is_set() for one in submissions):
            most = max(most, sum(one.stored.status is JobStatus.IN_PROGRESS for one in submissions))
            await asyncio.sleep(0.0005)
        assert most == 3
        assert sorted(run.worked_on) == sorted(str(number) for number in range(40))
        for number, one in enumerate(submissions):
            [row] = orjson.loads(one.stored.answer)["data"]
            assert row["embedding"] == pytest.approx(expected_vector(TextInput(str(number))).tolist())


async def test_a_callers_many_jobs_do_not_keep_another_waiting() -> None:
    async with bench(concurrency=1) as run:
        run.instant.embedder.pause_seconds = 0.001
        many = [run.submit(f"a{number}", caller="ann") for number in range(20)]
        one = run.submit("b", caller="bob")
        await one.wait(10)
        await many[-1].wait(10)
        assert run.worked_on.index("b") <= 2


async def test_the_caller_is_told_to_the_service() -> None:
    async with bench() as run:
        await run.submit("a", caller="ann").wait(10)
        assert run.instant.embedder.seen[0].caller == "ann"


async def test_a_job_is_run_in_the_context_of_its_own_request(monkeypatch: pytest.MonkeyPatch) -> None:
    """Log lines have the request's id from there; a job that waited is begun by the end of another."""
    request = ContextVar("request", default="none")
    async with bench(concurrency=1) as run:
        seen = []
        take = run.instant.embedder.take

        async def noting(asked: EmbedRequest) -> None:
            seen.append(request.get())
            await take(asked)

        monkeypatch.setattr(run.instant.embedder, "take", noting)
        submissions = []
        for name in "abc":
            request.set(name)
            submissions.append(run.submit(name))
        for submission in submissions:
            await submission.wait(10)
        assert seen == ["a", "b", "c"]


async def test_a_running_job_is_cancelled_and_leaves_its_place() -> None:
    async with bench(concurrency=1) as run:
        run.instant.embedder.hold = True
        held = run.submit("a")
        await until(lambda: bool(run.instant.embedder.seen))
        run.instant.embedder.hold = False
        waiting = run.submit("b")
        assert (held.stored.status, waiting.stored.status) == (JobStatus.IN_PROGRESS, JobStatus.IN_QUEUE)
        run.runner.cancel(held.stored)
        assert held.stored.status is JobStatus.CANCELLED
        await waiting.wait(10)
        assert waiting.status is JobStatus.COMPLETED
        assert run.instant.embedder.cancelled.is_set()
        assert held.stored.status is JobStatus.CANCELLED


async def test_a_waiting_job_is_cancelled_and_never_run() -> None:
    async with bench(concurrency=1) as run:
        run.instant.embedder.hold = True
        held = run.submit("a")
        waiting = run.submit("b")
        run.runner.cancel(waiting.stored)
        assert (waiting.status, waiting.over.is_set()) == (JobStatus.CANCELLED, True)
        run.runner.cancel(held.stored)
        await asyncio.sleep(0.01)
        assert "b" not in run.worked_on


async def test_what_is_over_cannot_be_cancelled() -> None:
    async with bench() as run:
        submission = run.submit("a")
        await submission.wait(10)
        run.runner.cancel(submission.stored)
        assert submission.stored.status is JobStatus.COMPLETED


async def test_a_purge_is_of_ones_own_waiting_jobs() -> None:
    async with bench(concurrency=1) as run:
        run.instant.embedder.hold = True
        running = run.submit("a", caller="ann")
        own = [run.submit("b", caller="ann") for _ in range(3)]
        others = run.submit("c", caller="bob")
        assert run.runner.purge("ann") == 3
        assert {one.stored.status for one in own} == {JobStatus.CANCELLED}
        assert others.stored.status is JobStatus.IN_QUEUE
        await until(lambda: running.stored.status is JobStatus.IN_PROGRESS)


async def test_at_the_end_everything_is_cancelled() -> None:
    async with bench(concurrency=1) as run:
        run.instant.embedder.hold = True
        run.submit("a")
        run.submit("b")
        await until(lambda: bool(run.instant.embedder.seen))
    assert run.instant.embedder.cancelled.is_set()
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_job_that_nobody_waits_for_is_tried_again_while_there_is_too_much_to_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with bench() as run:
        run.instant.embedder.error = errors.Overloaded("Busy.", retry_after_seconds=0)
        run.instant.embedder.errors_left = 3
        submission = run.submit("a")
        await submission.wait(10)
        assert submission.status is JobStatus.COMPLETED
        assert len(run.instant.embedder.seen) == 4


async def test_a_job_that_somebody_waits_for_is_not() -> None:
    async with bench() as run:
        run.instant.embedder.error = errors.Overloaded("Busy.", retry_after_seconds=0)
        submission = run.submit("a", is_awaited=True)
        await submission.wait(10)
        assert submission.status is JobStatus.FAILED
        assert submission.outcome is not None
        assert submission.outcome.fault is not None
        assert submission.outcome.fault.status == 429
        assert len(run.instant.embedder.seen) == 1
        assert submission.stored.id.startswith("sync-")


async def test_what_comes_too_late_has_timed_out() -> None:
    async with bench() as run:
        run.instant.embedder.error = errors.DeadlineExceeded("Late.")
        submission = run.submit("a")
        await submission.wait(10)
        assert submission.stored.status is JobStatus.TIMED_OUT
        assert b"status 504" in submission.stored.answer


async def test_a_job_that_waited_for_longer_than_it_was_to_live_is_not_run() -> None:
    async with bench(concurrency=1) as run:
        run.instant.embedder.hold = True
        held = run.submit("a")
        late = run.submit("b", policy={"ttl": 1})
        await until(lambda: bool(run.instant.embedder.seen))
        await asyncio.sleep(0.005)
        run.runner.cancel(held.stored)
        await late.wait(10)
        assert late.stored.status is JobStatus.TIMED_OUT
        assert run.worked_on == ["a"]


async def test_expired_jobs_are_told_so_without_a_place_becoming_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runpod_runner, "_SWEEP_SECONDS", 0.01)
    async with bench(concurrency=1) as run:
        run.instant.embedder.hold = True
        run.submit("a")
        late = run.submit("b", policy={"ttl": 1})
        await late.wait(10)
        assert late.stored.status is JobStatus.TIMED_OUT


async def test_an_answer_without_room_fails_the_job_and_is_still_given_to_who_waits() -> None:
    store = JobStore(StoreLimits(max_jobs=4, max_bytes=2 * LEAST_BYTES))
    async with bench(store=store) as run:
        submission = run.submit("a", is_awaited=True)
        await submission.wait(10)
        assert submission.stored.status is JobStatus.FAILED
        assert b"room" in submission.stored.answer
        assert submission.status is JobStatus.COMPLETED
        assert orjson.loads(submission.answer)["data"]
        assert store.held_bytes <= 2 * LEAST_BYTES


async def test_without_room_no_job_is_let_in() -> None:
    async with bench(store=JobStore(StoreLimits(max_jobs=1, max_bytes=100 * LEAST_BYTES))) as run:
        run.instant.embedder.hold = True
        run.submit("a")
        with pytest.raises(Overloaded):
            run.submit("b")


async def test_a_job_too_deep_to_be_held_is_refused() -> None:
    deep: Any = []
    for _ in range(300):
        deep = [deep]
    async with bench() as run:
        with pytest.raises(MalformedBody):
            run.runner.submit({"input": {"input": deep}}, services=run.services, caller="", is_awaited=False)
        assert len(run.store) == 0


async def test_nothing_unforeseen_keeps_a_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """A defect in here fails its job and no other."""

    def broken(*_: object) -> None:
        raise RuntimeError("a defect")

    async with bench(concurrency=1) as run:
        with monkeypatch.context() as patched:
            patched.setattr(runpod_runner, "_told", broken)
            first = run.submit("a")
            await first.wait(10)
        assert first.stored.status is JobStatus.FAILED
        second = run.submit("b")
        await second.wait(10)
        assert second.stored.status is JobStatus.COMPLETED


@pytest.mark.parametrize("seed", range(5))
async def test_many_callers_at_once_each_get_their_own_and_nobody_elses(seed: int) -> None:
    """Jobs of several callers, some cancelled at some point: every answer is that of the job's own text."""
    store = JobStore(StoreLimits(max_jobs=64, max_bytes=64 * 1024 * LEAST_BYTES))
    async with bench(concurrency=4, store=store) as run:
        run.instant.embedder.pause_seconds = 0.001

        async def caller(name: str) -> None:
            for number in range(8):
                text = f"{name} {number}"
                submission = run.submit(text, caller=name)
                if (number + seed) % 3 == 0:
                    await asyncio.sleep(0.0005 * (number % 3))
                    run.runner.cancel(submission.stored)
                await submission.wait(10)
                for other in names:
                    found = run.runner.find(submission.stored.id, caller=other)
                    assert (found is submission.stored) is (other == name)
                if submission.stored.status is JobStatus.COMPLETED:
                    [row] = orjson.loads(submission.stored.answer)["data"]
                    assert row["embedding"] == pytest.approx(expected_vector(TextInput(text)).tolist())
                else:
                    assert submission.stored.status is JobStatus.CANCELLED
                run.runner.mark_delivered(submission.stored)

        names = [f"caller {number}" for number in range(6)]
        await asyncio.gather(*map(caller, names))
