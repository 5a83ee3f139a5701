"""One run from the first check to the last figure: parity, warming up, all repeats of all steps."""

from __future__ import annotations

import resource
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from gateway.bench.ceiling import NAME as CEILING
from gateway.bench.contenders import Contender, Contest
from gateway.bench.direct import NAME as DIRECT
from gateway.bench.machine import During, core_times, during
from gateway.bench.measurement import Measurement
from gateway.bench.parity import LEAST_COSINE, TOLERANCE, Parity, probe_texts
from gateway.bench.processes import cpu_seconds
from gateway.bench.record import COSINE, DIFFERENCE, ParityResult
from gateway.bench.steps import Course, Step
from gateway.bench.target import is_own
from gateway.bench.workloads import Plan, Workload, closed_load
from gateway.errors import GatewayError

WARM_UP_SECONDS = 1.0


class Progress(Protocol):
    """Is told what happens while it happens."""

    def begin(self, steps: int) -> None: ...

    def step(self, label: str, *, repeat: int) -> None: ...


@dataclass(slots=True)
class Outcome:
    """`void` says why the figures do not count, None where they do."""

    measurements: list[Measurement] = field(default_factory=list)
    parity: list[ParityResult] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    during: During | None = None
    void: str | None = None


def run(contest: Contest, plan: Plan, *, progress: Progress, tolerance: float = TOLERANCE) -> Outcome:
    """Blocks until all is measured, or `plan.limit_seconds` are over.

    Where vectors of the gateway or of Triton are not the ceiling's, nothing is measured, and the outcome is void; it is
    void too where that shows later, under load.
    """
    parity = Parity(contest.ceiling.ceiling.embed, tolerance, contest.is_by_cosine)
    outcome = Outcome()
    compare_vectors(contest.contenders, parity, outcome)
    judge(contest.contenders, parity, outcome)
    if outcome.void is None:
        first, before = core_times(), _own_seconds(contest)
        _measure(Course(contest, plan, parity), outcome, progress)
        outcome.during = during(first, core_times(), own_seconds=_own_seconds(contest) - before)
        judge(contest.contenders, parity, outcome)
        outcome.warnings += unanswered(outcome.measurements)
    return outcome


def compare_vectors(contenders: Sequence[Contender], parity: Parity, outcome: Outcome) -> None:
    """The same texts for everyone, before anything is timed."""
    texts = probe_texts()
    for contender in contenders:
        if contender.name == CEILING:
            continue
        try:
            parity.compare(contender.name, texts, contender.embed(texts))
        except (GatewayError, RuntimeError, OSError, EOFError, ValueError) as error:
            outcome.warnings.append(f"{contender.name} gave no vectors to compare: {error}.")


def judge(contenders: Sequence[Contender], parity: Parity, outcome: Outcome) -> None:
    """Writes down who computed the same vectors. Other servers may differ, which is said; these here may not."""
    own = [contender.name for contender in contenders if not _is_foreign(contender)]
    others = [contender.name for contender in contenders if _is_foreign(contender)]
    outcome.parity = [result_of(name, parity) for name in (*own, *others) if name != CEILING]
    for one in outcome.parity:
        if one.holds:
            continue
        if one.contender in own:
            outcome.void = f"vectors of {one.contender} {_wrongness(one)}; {_allowed(one, parity)}."
        else:
            outcome.warnings.append(f"{one.contender} computes something else: its vectors {_wrongness(one)}.")
    outcome.warnings = list(dict.fromkeys(outcome.warnings))


def result_of(name: str, parity: Parity) -> ParityResult:
    """What was seen of a contender's vectors; of one that gave none that they are infinitely far."""
    return ParityResult(
        name,
        parity.differences.get(name, float("inf")),
        parity.cosines.get(name, -1.0),
        parity.checked.get(name, 0),
        parity.holds(name),
        COSINE if parity.by_cosine(name) else DIFFERENCE,
    )


def _wrongness(result: ParityResult) -> str:
    if result.difference == float("inf"):
        return "are missing or of another shape than the in-process ones"
    if result.rule == COSINE:
        return f"have a cosine of {result.cosine:.6f} with the in-process ones"
    return f"differ from the in-process ones by {result.difference:.1e}"


def _allowed(result: ParityResult, parity: Parity) -> str:
    return f"{LEAST_COSINE} is the least" if result.rule == COSINE else f"{parity.tolerance:g} is allowed"


def _is_foreign(contender: Contender) -> bool:
    return contender.name not in (CEILING, DIRECT) and not is_own(contender.name)


def unanswered(measurements: Sequence[Measurement]) -> Iterator[str]:
    """A sentence for every contender of which requests failed or were not answered."""
    failed: dict[str, float] = {}
    for one in measurements:
        count = one.figures.get("errors", 0.0) + one.figures.get("unanswered", 0.0)
        failed[one.contender] = failed.get(one.contender, 0.0) + count
    return (f"{name} left {count:g} requests without a vector." for name, count in failed.items() if count)


def _measure(course: Course, outcome: Outcome, progress: Progress) -> None:
    end = time.monotonic() + course.plan.limit_seconds
    repeats = [course.steps(repeat) for repeat in range(course.plan.repeats)]
    progress.begin(sum(map(len, repeats)))
    _warm_up(course)
    for repeat, steps in enumerate(repeats):
        for step in steps:
            if time.monotonic() > end:
                minutes = course.plan.limit_seconds / 60
                outcome.warnings.append(
                    f"The time limit of {minutes:g} minutes was reached in repeat {repeat + 1}: the rest is left out."
                )
                return
            progress.step(step.label, repeat=repeat)
            _take(step, outcome)


def _take(step: Step, outcome: Outcome) -> None:
    try:
        outcome.measurements += step.act()
    except (GatewayError, RuntimeError, OSError, EOFError) as error:
        outcome.warnings.append(f"{step.label} was not measured: {error}.")


def _warm_up(course: Course) -> None:
    """Connections, memory and caches are made by the first requests; those are not timed."""
    load = closed_load(Workload.MANY, course.plan)
    for contender in course.contest.contenders:
        contender.under(load, seconds=min(WARM_UP_SECONDS, course.plan.seconds))


def _own_seconds(contest: Contest) -> float:
    """Processor time of all that takes part, so far."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    pids = {contender.server_pid for contender in contest.contenders}
    servers = sum(seconds for pid in pids if (seconds := cpu_seconds(pid)) is not None)
    return time.process_time() + children.ru_utime + children.ru_stime + servers
