"""A run as a list of steps, each one load on one contender, in the order in which they take turns."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from gateway.bench.accounting import Account, accounted
from gateway.bench.contenders import Contender, Contest, HttpContender
from gateway.bench.interference import interference
from gateway.bench.measurement import Generator, Load, Measurement
from gateway.bench.one_by_one import one_by_one
from gateway.bench.open_rates import open_rates
from gateway.bench.parity import Parity
from gateway.bench.turns import turns
from gateway.bench.workloads import CLOSED, ClosedLoad, Plan, Workload, closed_load, singles
from gateway.bench.wrk import run_wrk


@dataclass(frozen=True, slots=True)
class Step:
    """`label` says what is measured; `act` measures it, which blocks."""

    label: str
    act: Callable[[], Sequence[Measurement]]


@dataclass(frozen=True, slots=True)
class Course:
    """What all steps need to know."""

    contest: Contest
    plan: Plan
    parity: Parity

    def steps(self, repeat: int) -> list[Step]:
        """One repeat of every workload."""
        return [step for workload in self.plan.workloads for step in self._of(workload, repeat)]

    def _of(self, workload: Workload, repeat: int) -> Iterator[Step]:
        servers = turns(self.contest.servers, repeat=repeat)
        if workload is Workload.SINGLE:
            yield Step("single", lambda: one_by_one(self.contest, self.plan, self.parity, repeat=repeat))
            yield from self._with_wrk(workload, ClosedLoad(1, tuple((text,) for text in singles())), repeat)
        elif workload in CLOSED:
            load = closed_load(workload, self.plan)
            for contender in turns(self.contest.contenders, repeat=repeat):
                yield self._closed(workload, contender, load, repeat)
            if workload is Workload.MANY:
                yield from self._with_wrk(workload, load, repeat)
        else:
            measure = interference if workload is Workload.INTERFERENCE else open_rates
            for server in servers:
                yield self._of_server(workload, server, measure, repeat)

    def _closed(self, workload: Workload, contender: Contender, load: ClosedLoad, repeat: int) -> Step:
        def act() -> Sequence[Measurement]:
            done, figures = accounted(
                account_of(contender, self.contest), lambda: contender.under(load, seconds=self.plan.seconds)
            )
            self._check(contender, load, done)
            return (Measurement(workload.value, contender.name, contender.generator, repeat, figures),)

        return Step(f"{workload.value}: {contender.name}", act)

    def _check(self, contender: Contender, load: ClosedLoad, done: Load) -> None:
        if done.last_request is not None:
            self.parity.compare_answer(contender.name, load.requests[done.last_request], done.last_body)

    def _with_wrk(self, workload: Workload, load: ClosedLoad, repeat: int) -> Iterator[Step]:
        program = self.contest.wrk
        if program is None:
            return
        for server in turns(self.contest.servers, repeat=repeat):
            yield self._wrk(program, workload, server, load, repeat)

    def _wrk(self, program: str, workload: Workload, server: HttpContender, load: ClosedLoad, repeat: int) -> Step:
        def act() -> Sequence[Measurement]:
            _, figures = accounted(
                account_of(server, self.contest),
                lambda: run_wrk(program, server.target, load.texts, clients=load.clients, seconds=self.plan.seconds),
            )
            return (Measurement(workload.value, server.name, Generator.WRK, repeat, figures),)

        return Step(f"{workload.value}: {server.name}, wrk", act)

    def _of_server(
        self,
        workload: Workload,
        server: HttpContender,
        measure: Callable[[HttpContender, Account, Plan, int], Sequence[Measurement]],
        repeat: int,
    ) -> Step:
        account = account_of(server, self.contest)
        return Step(f"{workload.value}: {server.name}", lambda: measure(server, account, self.plan, repeat))


def account_of(contender: Contender, contest: Contest) -> Account:
    target = contender.target if isinstance(contender, HttpContender) else None
    return Account(contender.server_pid, target, contest.model)
