"""A run as a list of steps, each one load on one contender, in the order in which they take turns."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from gateway.bench.accounting import Account, accounted
from gateway.bench.added_latency import added_latency
from gateway.bench.contenders import CeilingContender, Contender, Contest, HttpContender
from gateway.bench.encoding import encoding
from gateway.bench.interference import interference
from gateway.bench.measurement import Generator, Load, Measurement
from gateway.bench.one_by_one import one_by_one
from gateway.bench.open_rates import open_rates
from gateway.bench.parity import Parity
from gateway.bench.scaling import scaling
from gateway.bench.soak import soak
from gateway.bench.target import is_own
from gateway.bench.turns import turns
from gateway.bench.workloads import CLOSED, LONG_LASTING, ClosedLoad, Plan, Workload, closed_load, singles
from gateway.bench.wrk import run_wrk

OfServer = Callable[[HttpContender, Account, Plan, int], Sequence[Measurement]]
"""A load of its own kind on one server, in one repeat."""

OF_SERVERS: Mapping[Workload, OfServer] = {
    Workload.INTERFERENCE: interference,
    Workload.POISSON: open_rates,
    Workload.SCALING: scaling,
    Workload.SOAK: soak,
}


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
            load = closed_load(workload, self.plan, repeat=repeat)
            for contender in turns(self.contest.contenders, repeat=repeat):
                yield self._closed(workload, contender, load, repeat)
            if workload is Workload.MANY:
                yield from self._with_wrk(workload, load, repeat)
        elif workload is Workload.ADDED:
            yield Step("added", lambda: self._added(repeat))
        elif workload is Workload.ENCODING:
            yield Step("encoding", lambda: encoding(repeat))
        else:
            for server in servers:
                # Others may have limits of their own, and memory that is counted otherwise.
                if workload not in LONG_LASTING or is_own(server.name):
                    yield self._of_server(workload, server, OF_SERVERS[workload], repeat)

    def _added(self, repeat: int) -> Sequence[Measurement]:
        account = account_of(self.contest.servers[0], self.contest)
        return added_latency(self.contest, account, self.plan, self.parity, repeat)

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

    def _of_server(self, workload: Workload, server: HttpContender, measure: OfServer, repeat: int) -> Step:
        account = account_of(server, self.contest)
        return Step(f"{workload.value}: {server.name}", lambda: measure(server, account, self.plan, repeat))


def account_of(contender: Contender, contest: Contest) -> Account:
    target = contender.target if isinstance(contender, HttpContender) else None
    is_own_work = isinstance(contender, CeilingContender)
    return Account(contender.server_pid, target, contest.model, is_own_work=is_own_work)
