"""Bringing a known model when a request first names it: downloaded in the background, then loaded into Triton.

Only what has a card here is ever fetched. Requests are not kept waiting: each is answered how far it is.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum

from gateway.artifacts.completeness import is_complete
from gateway.artifacts.pull_order import PullOrder, Report
from gateway.artifacts.variants import chosen_variant
from gateway.cards.installation import read_installation
from gateway.cards.schema import Card
from gateway.errors import ArtifactError, EngineUnavailable, GatewayError, SetupError
from gateway.triton.engine import Engine

logger = logging.getLogger(__name__)

# A graph of 2 GB on a slow disk.
LOAD_SECONDS = 600.0
# A model that was loaded is found and served within seconds; asked for again much later, Triton has lost it.
LOADED_GRACE_SECONDS = 30.0
# After a failure the next request may start it again, but not every one.
FAILURE_PAUSE_SECONDS = 60.0

_SHORTEST_RETRY_SECONDS, _LONGEST_RETRY_SECONDS = 2, 60


class Phase(Enum):
    DOWNLOADING = "model_downloading"
    LOADING = "model_loading"
    LOADED = "model_loaded"
    FAILED = "model_not_installed"


@dataclass(slots=True)
class Job:
    """The way of one card into Triton. `phase_since` is a reading of `time.monotonic()`; `total_bytes` is what there is
    to download, where that is known."""

    card: Card
    total_bytes: int | None = None
    phase: Phase = Phase.DOWNLOADING
    phase_since: float = field(default_factory=time.monotonic)
    report: Report = field(default_factory=Report)
    reason: str = ""
    task: asyncio.Task[None] | None = None

    def enter(self, phase: Phase, reason: str = "") -> None:
        self.phase, self.reason, self.phase_since = phase, reason, time.monotonic()

    @property
    def may_start_again(self) -> bool:
        pause = {Phase.FAILED: FAILURE_PAUSE_SECONDS, Phase.LOADED: LOADED_GRACE_SECONDS}.get(self.phase)
        return pause is not None and time.monotonic() - self.phase_since > pause


class AutoPull:
    """Use it inside one running event loop; `stop` ends what is under way, which goes on from there the next time."""

    def __init__(self, engine: Engine, order: Callable[[Card], PullOrder], *, allowed: Collection[str]) -> None:
        """`order` makes what the pulling process is told. `allowed` names the cards that may be brought."""
        self._engine = engine
        self._order = order
        self._allowed = allowed
        self._jobs: dict[str, Job] = {}

    def on_missing(self, card: Card) -> EngineUnavailable | None:
        """The answer to a request that needs a card which Triton has not loaded; None where it may not be brought."""
        if card.name not in self._allowed:
            return None
        job = self._jobs.get(card.name)
        if job is None or job.may_start_again:
            job = self._jobs[card.name] = Job(card, _download_bytes(card, self._order(card).variant))
            # A context of its own: what it logs belongs to no request.
            context = contextvars.Context()
            job.task = asyncio.create_task(self._bring(job), name=f"auto-pull {card.name}", context=context)
        return EngineUnavailable(_sentence(job), code=job.phase.value, retry_after_seconds=_retry_after(job))

    def begin(self, cards: Iterable[Card]) -> None:
        """Bring cards without waiting for a request, those that the operator named."""
        for card in cards:
            self.on_missing(card)

    async def stop(self) -> None:
        tasks = [job.task for job in self._jobs.values() if job.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _bring(self, job: Job) -> None:
        try:
            if not await asyncio.to_thread(is_complete, job.card):
                logger.info("a known model is downloaded, as a request names it", extra={"model": job.card.name})
                await self._download(job)
            job.enter(Phase.LOADING)
            await self._load(job.card)
        except GatewayError as error:
            logger.warning("a model could not be brought", extra={"model": job.card.name, "reason": error.message})
            job.enter(Phase.FAILED, error.message)
        except Exception:
            logger.exception("bringing a model failed in an unexpected way", extra={"model": job.card.name})
            job.enter(Phase.FAILED, "It failed in an unexpected way; the gateway's log has more.")
        else:
            logger.info("a model was downloaded and loaded", extra={"model": job.card.name})
            job.enter(Phase.LOADED)

    async def _download(self, job: Job) -> None:
        """Raises `ArtifactError` with the pulling process's own words."""
        process = _start()
        try:
            await asyncio.to_thread(_follow, process, self._order(job.card), job)
        finally:
            process.kill()
            process.wait()
        if not job.report.is_done:
            raise ArtifactError(job.report.error or f"The download of {job.card.name} ended before it was done.")

    async def _load(self, card: Card) -> None:
        """Nothing to do where Triton is at it already. Raises what the engine raises."""
        states = {status.name: status.state for status in await self._engine.models()}
        if states.get(card.name) not in ("READY", "LOADING"):
            await self._engine.load(card.name, timeout_seconds=LOAD_SECONDS)


def _start() -> subprocess.Popen[bytes]:
    """Not asyncio's way to start one: uvloop forks, and gRPC's threads do not like that."""
    command = [sys.executable, "-m", "gateway.artifacts.pull_process"]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def _follow(process: subprocess.Popen[bytes], order: PullOrder, job: Job) -> None:
    """Blocks until the process has ended, by itself or killed, and keeps what it says last."""
    assert process.stdin is not None
    assert process.stdout is not None
    with suppress(BrokenPipeError), process.stdin as given, process.stdout as told:
        given.write(order.line())
        given.flush()
        for line in told:
            job.report = Report.from_line(line)
    process.wait()


def _sentence(job: Job) -> str:
    name = _called(job.card)
    match job.phase:
        case Phase.DOWNLOADING:
            if job.report.step:
                return f"The model {name} is being installed: {job.report.step}. Please try again later."
            return f"The model {name} is being downloaded{_how_far(job)}. Please try again later."
        case Phase.LOADING | Phase.LOADED:
            return f"The model {name} is being loaded. Please try again in a moment."
        case Phase.FAILED:
            return f"The model {name} could not be brought. {job.reason}"


def _called(card: Card) -> str:
    """What callers name: of a family the family, with the part that is on its way."""
    return card.name if card.family is None else f"{card.family} ({card.member})"


def _download_bytes(card: Card, asked: str | None) -> int | None:
    """What the files of a variant have together; None where the card does not know them all."""
    try:
        variant = chosen_variant(card, asked, installed=read_installation(card).variant)
    except SetupError:
        return None
    sizes = [file.size_bytes for file in card.files_of(variant) if not file.built_by]
    known = [size for size in sizes if size is not None]
    return sum(known) if len(known) == len(sizes) and variant in (None, *card.variants) else None


def _how_far(job: Job) -> str:
    report = job.report
    if not report.label:
        return ", which has just begun" if job.total_bytes is None else f": {_megabytes(job.total_bytes)} in all"
    total = report.total_bytes
    share = f"{100 * report.done_bytes // total} % of {total / 1e6:.0f} MB" if total else _megabytes(report.done_bytes)
    return f": {share} in all" if report.is_overall else f": {share} of {report.label}"


def _megabytes(byte_count: int) -> str:
    return f"{byte_count / 1e6:.0f} MB"


def _retry_after(job: Job) -> int:
    """Seconds until the file under way should be here at the pace so far; the rest is a guess."""
    match job.phase:
        case Phase.FAILED:
            return int(FAILURE_PAUSE_SECONDS)
        case Phase.LOADING | Phase.LOADED:
            return _SHORTEST_RETRY_SECONDS
        case Phase.DOWNLOADING:
            report, elapsed = job.report, time.monotonic() - job.phase_since
            missing = (report.total_bytes or 0) - report.done_bytes
            pace = report.done_bytes / elapsed if elapsed > 0 else 0.0
            seconds = missing / pace if pace > 0 else _SHORTEST_RETRY_SECONDS
            return round(min(max(seconds, _SHORTEST_RETRY_SECONDS), _LONGEST_RETRY_SECONDS))
