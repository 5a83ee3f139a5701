"""`gateway bench`: the ceiling, Triton, the gateway and others in turns, in one run that says what it was worth."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType

import typer
from rich.console import Console

from gateway.artifacts.completeness import is_complete
from gateway.bench import machine, soak, wrk
from gateway.bench.contenders import Contest
from gateway.bench.entrants import served_precision
from gateway.bench.model_rows import benchable_card
from gateway.bench.page import page
from gateway.bench.parity import TOLERANCE
from gateway.bench.record import Participant, Record, document
from gateway.bench.run import run
from gateway.bench.staging import PRECISION, Cast, check_names, staged
from gateway.bench.terminal import TerminalProgress, print_record
from gateway.bench.workloads import DESCRIPTIONS, USUAL, Plan, Workload, full_plan, quick_plan
from gateway.cards.registry import Registry
from gateway.cli.bench_options import (
    QUICK_REPEATS,
    QUICK_SECONDS,
    REPEATS,
    SECONDS,
    AgainstOption,
    HtmlFileOption,
    JsonFileOption,
    KeyOfOption,
    LimitOption,
    ModelOfOption,
    ModelOption,
    PrecisionOption,
    QuickOption,
    RepeatsOption,
    SecondsOption,
    SoakOption,
    ToleranceOption,
    TritonOption,
    UrlOption,
    VariantOption,
    WorkloadOption,
    keys_of,
    pairs,
    prepare_files,
    variants,
)
from gateway.cli.named_models import RepositoryOption
from gateway.errors import ArtifactError
from gateway.settings import load_settings
from gateway.types import Precision

EXIT_VOID = 1
EXIT_STOPPED = 130

EPILOG = "\n\n".join(f"{workload.value}: {words}." for workload, words in DESCRIPTIONS.items())


def bench(
    workload: WorkloadOption = None,
    repeats: RepeatsOption = None,
    seconds: SecondsOption = None,
    quick: QuickOption = False,
    model: ModelOption = "all-MiniLM-L6-v2",
    url: UrlOption = None,
    triton: TritonOption = None,
    against: AgainstOption = None,
    model_of: ModelOfOption = None,
    key_of: KeyOfOption = None,
    tolerance: ToleranceOption = TOLERANCE,
    precision: PrecisionOption = None,
    variant: VariantOption = None,
    soak_minutes: SoakOption = None,
    limit_minutes: LimitOption = 60.0,
    json_file: JsonFileOption = None,
    html_file: HtmlFileOption = None,
    model_repository: RepositoryOption = None,
) -> None:
    """Measure in-process ONNX Runtime, Triton, the gateway and others in turns. Exit 1 where the vectors differ."""
    plan = asked_plan(workload, repeats=repeats, seconds=seconds, quick=quick, limit_seconds=60 * limit_minutes)
    plan = plan if soak_minutes is None else dataclasses.replace(plan, soak_seconds=60 * soak_minutes)
    repository = load_settings(model_repository=model_repository).model_repository
    cast = Cast(
        benchable_card(Registry.from_repository(repository), model),
        repository,
        url=url,
        triton=triton,
        variants=variants(variant),
        others=pairs(against, option="--against", value="URL"),
        models=pairs(model_of, option="--model-of", value="MODEL"),
        keys=keys_of(pairs(key_of, option="--key-of", value="VARIABLE"), os.environ),
        settings={} if url else started_with(plan, precision, os.environ),
        is_fast=precision is Precision.FAST,
    )
    check_names(cast)
    prepare_files([json_file, html_file])
    finish(stopping_cleanly(cast, plan, quick=quick, tolerance=tolerance), json_file=json_file, html_file=html_file)


def started_with(plan: Plan, precision: Precision | None, environment: Mapping[str, str]) -> dict[str, str]:
    """The settings of a stack that is started here: those around, and what the options and workloads ask for."""
    needed = soak.SETTINGS if Workload.SOAK in plan.workloads else {}
    asked = {PRECISION: precision.value} if precision is not None else {}
    return {**needed, **machine.gateway_settings(environment), **asked}


def asked_plan(
    workloads: Sequence[Workload] | None,
    *,
    repeats: int | None,
    seconds: float | None,
    quick: bool,
    limit_seconds: float,
) -> Plan:
    """What was not asked for is as it is quoted, or quick."""
    make_plan = quick_plan if quick else full_plan
    return make_plan(
        list(dict.fromkeys(workloads or USUAL)),
        repeats=repeats or (QUICK_REPEATS if quick else REPEATS),
        seconds=seconds or (QUICK_SECONDS if quick else SECONDS),
        limit_seconds=limit_seconds,
    )


def stopping_cleanly(cast: Cast, plan: Plan, *, quick: bool, tolerance: float) -> Record:
    """As `measured`; on Ctrl-C, SIGTERM or a closed terminal all that was started is ended first."""
    console = Console(stderr=True)
    try:
        with every_stop_as_ctrl_c():
            return measured(cast, plan, console, quick=quick, tolerance=tolerance)
    except KeyboardInterrupt:
        console.print("Stopped. What was started has ended; nothing was written.")
        raise typer.Exit(EXIT_STOPPED) from None


def measured(cast: Cast, plan: Plan, console: Console, *, quick: bool, tolerance: float) -> Record:
    """The whole run. Raises what `staged` raises, and `ArtifactError` for a model that is not installed."""
    if not is_complete(cast.card):
        raise ArtifactError(f"{cast.card.name} is not installed.", remedy=f"gateway models pull {cast.card.name}")
    started, begin, before = datetime.now(UTC), time.monotonic(), machine.look_before()
    notes = machine.warnings_before(before)
    for note in notes:
        console.print(f"Note: {note}", style="yellow", markup=False)
    console.print("starting Triton and the gateway ..." if cast.url is None else f"asking {cast.url} ...", markup=False)
    with staged(cast) as contest, TerminalProgress(console, repeats=plan.repeats) as progress:
        taking_part = participants(contest)
        outcome = run(contest, plan, progress=progress, tolerance=tolerance)
    notes += [*missing_parts(contest, plan), *outcome.warnings]
    notes += machine.warnings_during(outcome.during) if outcome.during is not None else []
    return Record(
        started_at=started.isoformat(timespec="seconds"),
        seconds=time.monotonic() - begin,
        quick=quick,
        model=cast.card.name,
        plan=plan,
        tolerance=tolerance,
        hardware=machine.hardware(),
        versions=machine.versions(),
        settings=cast.settings,
        before=before,
        during=outcome.during,
        participants=taking_part,
        parity=outcome.parity,
        measurements=outcome.measurements,
        warnings=notes,
        void=outcome.void,
    )


def missing_parts(contest: Contest, plan: Plan) -> Iterator[str]:
    """A sentence for each thing that this run could not have."""
    if contest.wrk is None and {Workload.SINGLE, Workload.MANY} & set(plan.workloads):
        yield wrk.HOW_TO_GET
    if contest.direct is None or contest.servers[0].target.tls:
        yield "Direct gRPC was not measured: --triton HOST:PORT names the Triton behind --url."


def participants(contest: Contest) -> Sequence[Participant]:
    asked = [
        Participant(server.name, server.target.url, server.target.model, served_precision(server.target))
        for server in contest.servers
    ]
    direct = contest.direct
    first = [Participant(contest.ceiling.name, "", contest.model)]
    if direct is not None:
        first.append(Participant(direct.name, f"grpc://{direct.direct.address}", contest.model))
    return [*first, *asked]


def finish(record: Record, *, json_file: Path | None, html_file: Path | None) -> None:
    """Print, write, and exit with 1 where the run is void."""
    print_record(record, Console())
    if json_file is not None:
        json_file.write_text(json.dumps(document(record), indent=1) + "\n")
    if html_file is not None:
        html_file.write_text(page(record), encoding="utf-8")
    if record.void is not None:
        raise typer.Exit(EXIT_VOID)


@contextlib.contextmanager
def every_stop_as_ctrl_c() -> Iterator[None]:
    """SIGTERM, and the hangup of a closed terminal, end the run in the same order as Ctrl-C."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        # What a script starts in the background ignores Ctrl-C, which is not to say that nothing ends it.
        if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
            raise KeyboardInterrupt
        signal.raise_signal(signal.SIGINT)

    numbers = [signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])]
    before = {number: signal.signal(number, interrupt) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
