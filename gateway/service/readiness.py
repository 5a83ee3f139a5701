"""Which models are served and whether they are well: follows Triton's index, watches each model, reports.

Models appear and vanish while the gateway runs; nothing here asks for a restart.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol

from gateway.cards.installation import read_installation
from gateway.cards.schema import Card
from gateway.errors import ConfigurationError, EngineUnavailable, GatewayError
from gateway.service.canary import Canary
from gateway.service.healing import Healer
from gateway.service.health import ModelHealth, ReadinessReport, State, health
from gateway.service.public_model import ServedModel
from gateway.service.served_models import ServedModels
from gateway.service.watching import ModelWatch
from gateway.telemetry.metrics import Metrics
from gateway.triton.engine import Engine, ModelStatus

_log = logging.getLogger(__name__)

_DOWN_INTERVAL_SECONDS = 0.2
_INDEX_TIMEOUT_SECONDS = 5.0
# A model that Triton forgot is loaded again only after Triton has had this long to load it by itself.
_FORGOTTEN_SECONDS = 2.0


class BuildModel(Protocol):
    """Makes all that serving a model needs; reads its tokenizer, so it takes a moment."""

    async def __call__(
        self, card: Card, *, on_outage: Callable[[EngineUnavailable], None]
    ) -> tuple[ServedModel, Canary]: ...


class ReadinessMonitor:
    """Keeps `models` in step with Triton. `start` and `stop` belong to the app's lifespan."""

    def __init__(
        self,
        engine: Engine,
        models: ServedModels,
        *,
        cards: Sequence[Card],
        required: Sequence[frozenset[str]],
        build_model: BuildModel,
        metrics: Metrics,
        canary_interval_seconds: float,
        address: str,
        explain_silence: Callable[[], Awaitable[ConfigurationError | None]],
        urgent_beside_others: bool = False,
    ) -> None:
        """`cards` are the Triton models that may be served; `required` the names of those that have to be, at least one
        of each set.

        `address` is where `engine` is, for the log. `explain_silence` is asked as long as no model has been served
        and it has not found the reason. `urgent_beside_others`: urgent calls, as canaries are, never wait behind others
        on models whose graph is computed.
        """
        self._engine = engine
        self._models = models
        self._cards = {card.name: card for card in cards}
        self._required = tuple(required)
        self._build_model = build_model
        self._metrics = metrics
        self._canary_interval_seconds = canary_interval_seconds
        self._address = address
        self._explain_silence = explain_silence
        self._urgent_beside_others = urgent_beside_others
        # Those that take rows unpadded are models of gigabytes that a Python process loads.
        self._healer = Healer(engine, large=[card.name for card in cards if card.triton.takes_rows_unpadded])
        self._watches: dict[str, tuple[ModelWatch, asyncio.Task[None]]] = {}
        self._others: dict[str, ModelHealth] = {}
        self._silence = "Triton has not been seen yet."
        self._mistake = ""
        self._unreachable_told = False
        self._absent_since: dict[str, float] = {}
        self._lost_triton = False
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Looks once, so that a gateway beside a running Triton serves as soon as it is up, then goes on looking."""
        await self._look()
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Ends all watching and answers all that waits."""
        tasks = [task for _, task in self._watches.values()]
        if self._task is not None:
            tasks.append(self._task)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for model in list(self._models.all().values()):
            await model.scheduler.close()

    def report(self) -> ReadinessReport:
        """The latest state of every model that is served or known."""
        watched = {name: watch.health for name, (watch, _) in self._watches.items()}
        everything = {**self._others, **watched}
        complete = all(watched.keys() & names for names in self._required)
        ready = bool(watched) and all(one.ready for one in watched.values()) and complete
        reason = "" if ready else self._silence
        return ReadinessReport(ready=ready, models=dict(sorted(everything.items())), reason=reason)

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(_DOWN_INTERVAL_SECONDS if self._silence else self._canary_interval_seconds)
            try:
                await self._look()
            except Exception:  # noqa: BLE001
                # The supervisor: discovery has to go on whatever one look ran into.
                _log.exception("looking at Triton's models failed in an unexpected way")

    async def _look(self) -> None:
        try:
            statuses = await self._engine.models(timeout_seconds=_INDEX_TIMEOUT_SECONDS)
        except GatewayError as error:
            await self._unreachable(error)
            return
        if self._unreachable_told:
            self._unreachable_told = False
            _log.info("Triton answers")
        self._silence = self._mistake = ""
        await self._follow({status.name: status for status in statuses if status.name in self._cards})
        self._lost_triton = self._lost_triton and bool(self._absent_since)

    async def _unreachable(self, error: GatewayError) -> None:
        self._lost_triton = True
        if not self._unreachable_told:
            self._unreachable_told = True
            _log.warning("Triton does not answer", extra={"triton": self._address, "reason": error.message})
        if not self._mistake and not self._watches:
            mistake = await self._explain_silence()
            if mistake is not None:
                self._mistake = f"{mistake.message} {mistake.remedy or ''}".strip()
                _log.error(self._mistake)
        self._silence = self._mistake or error.message
        for name in self._cards:
            if name not in self._watches:
                self._others[name] = health(State.UNAVAILABLE, self._silence)

    async def _follow(self, statuses: Mapping[str, ModelStatus]) -> None:
        for name, card in self._cards.items():
            status = statuses.get(name)
            if status is not None and status.ready:
                self._absent_since.pop(name, None)
                if self._is_another_variant(card):
                    await self._withdraw(name, status)
                if name not in self._watches:
                    await self._serve(card)
            elif name in self._watches:
                await self._absent(name, status)
            else:
                self._others[name] = health(State.NOT_LOADED, _why_absent(status, card))

    def _is_another_variant(self, card: Card) -> bool:
        """Whether a model's wrong vectors are those of files that were installed since: another precision, say."""
        entry = self._watches.get(card.name)
        if entry is None or entry[0].health.state != State.WRONG_VECTORS.value:
            return False
        return read_installation(card) != self._models.all()[card.name].installation

    async def _serve(self, card: Card) -> None:
        try:
            model, canary = await self._build_model(card, on_outage=lambda error: self._outage(card.name, error))
        except GatewayError as error:
            fault = health(State.FAULTY, error.message)
            if self._others.get(card.name) != fault:
                _log.error("a model cannot be served", extra={"model": card.name, "reason": error.message})
            self._others[card.name] = fault
            return
        ready = self._metrics.model_ready.labels(card.name)
        watch = ModelWatch(
            model,
            canary,
            engine=self._engine,
            healer=self._healer,
            interval_seconds=self._canary_interval_seconds,
            on_health=lambda new: ready.set(new.ready),
            answers_beside_calls=self._urgent_beside_others and card.triton.has_graph,
        )
        self._models.put(model)
        self._watches[card.name] = (watch, asyncio.create_task(watch.run()))
        self._others.pop(card.name, None)
        _log.info("serving a model", extra={"model": card.name})

    def _outage(self, name: str, error: EngineUnavailable) -> None:
        entry = self._watches.get(name)
        if entry is not None:
            entry[0].outage(error)

    async def _absent(self, name: str, status: ModelStatus | None) -> None:
        """A served model is not ready: being healed, forgotten in a restart of Triton, or unloaded on purpose."""
        watch, _ = self._watches[name]
        # It may come back as another, before a canary sees that.
        self._models.all()[name].proof.tell(ready=False)
        if watch.healing or (status is not None and status.state in ("LOADING", "UNLOADING")):
            self._absent_since.pop(name, None)
            return
        since = self._absent_since.setdefault(name, time.monotonic())
        if time.monotonic() - since < _FORGOTTEN_SECONDS:
            return
        if self._lost_triton or any(name in names for names in self._required):
            if not self._healer.due(name):
                return
            failure = await self._healer.load(name)
            if failure is not None:
                _log.warning("a model could not be loaded again", extra={"model": name, "reason": failure})
            return
        await self._withdraw(name, status)

    async def _withdraw(self, name: str, status: ModelStatus | None) -> None:
        _, task = self._watches.pop(name)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        model = self._models.remove(name)
        if model is not None:
            await model.scheduler.close(f"The model {name} was unloaded.")
        self._absent_since.pop(name, None)
        self._metrics.model_ready.labels(name).set(0)
        self._others[name] = health(State.NOT_LOADED, _why_absent(status, self._cards[name]))
        _log.info("a model was unloaded and is served no more", extra={"model": name})


def _why_absent(status: ModelStatus | None, card: Card) -> str:
    if status is not None and status.state in ("LOADING", "UNLOADING"):
        return f"Triton is {status.state.lower()} it."
    if status is not None and status.reason and status.reason != "unloaded":
        return f"Triton could not load it: {status.reason}"
    needed = "" if card.triton.has_graph else ", and what it computes with: scripts/install_torch.sh"
    return f"Not loaded. Its files come with: gateway models pull {card.name}{needed}"
