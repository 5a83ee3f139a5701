"""Watches one served model: proves it by its canary, tells its scheduler when to shed and resume, has it healed."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable

from gateway.errors import BackendProcessDied, DeadlineExceeded, EngineUnavailable, GatewayError
from gateway.service.canary import CALL_TIMEOUT_SECONDS, SILENCE_SECONDS, Canary, WrongVector
from gateway.service.healing import Healer
from gateway.service.health import ModelHealth, State, health
from gateway.service.public_model import ServedModel
from gateway.triton.engine import Engine

_log = logging.getLogger(__name__)

# While a model is down it is looked at this often, so that service resumes soon after its return.
_DOWN_INTERVAL_SECONDS = 0.1

# Where the canary never waits behind other calls it is answered in milliseconds, and in tenths of a second on a machine
# that is busy otherwise. After this long the calls under way are given up, after that long the process is replaced.
HUNG_SECONDS = 2.0
LOST_SECONDS = 5.0

_SILENT = health(State.UNAVAILABLE, "The model does not answer.")


class ModelWatch:
    """The health of one model, kept by `run`."""

    def __init__(
        self,
        model: ServedModel,
        canary: Canary,
        *,
        engine: Engine,
        healer: Healer,
        interval_seconds: float,
        on_health: Callable[[ModelHealth], None],
        answers_beside_calls: bool = False,
    ) -> None:
        """`answers_beside_calls`: the model answers an urgent call whatever else it computes, so that silence tells."""
        self._model = model
        self._name = model.card.name
        self._canary = canary
        self._engine = engine
        self._healer = healer
        self._interval_seconds = interval_seconds
        self._on_health = on_health
        self._answers_beside_calls = answers_beside_calls
        self._died: BackendProcessDied | None = None
        self._unhealed: ModelHealth | None = None
        self._look = asyncio.Event()
        self.healing = False
        self.health = health(State.STARTING, "Not yet proved.")

    async def run(self) -> None:
        """Watches until cancelled."""
        while True:
            try:
                await self._turn()
            except Exception:  # noqa: BLE001
                # The supervisor: without it one unforeseen error would leave the model unwatched for good.
                _log.exception("watching a model failed in an unexpected way")
                self._set(health(State.FAULTY, "The canary failed in an unexpected way."))
            await self._pause()

    def outage(self, error: EngineUnavailable) -> None:
        """A call of the scheduler found the engine gone: unready at once, and looked at now."""
        self._set(_outage_health(error))
        if isinstance(error, BackendProcessDied):
            self._died = error
        self._canary.give_up(error)
        self._look.set()

    async def _turn(self) -> None:
        if self._died is not None and self._healer.due(self._name):
            await self._heal(self._died)
        began = time.monotonic()
        try:
            await self._canary.prove(silent=self._silent, is_live=self._is_live)
        except BackendProcessDied as error:
            self._died = error
            if self._healer.due(self._name):
                self._look.set()
            self._model.scheduler.suspend(error)
            self._set(self._unhealed or _outage_health(error))
        except EngineUnavailable as error:
            self._shed(error)
        except WrongVector as error:
            # A vector that cannot be trusted is not handed out.
            self._set(health(State.WRONG_VECTORS, error.message))
            self._model.scheduler.suspend(EngineUnavailable(error.message, code="model_unhealthy"))
        except DeadlineExceeded as error:
            # Behind a call that takes minutes, as one of a very long text does on a CPU, lateness is no sign of death.
            if self._model.scheduler.idle_seconds >= CALL_TIMEOUT_SECONDS:
                self._set(health(State.FAULTY, error.message))
        except GatewayError as error:
            self._set(health(State.FAULTY, error.message))
        else:
            self._died = self._unhealed = None
            self._set(health(State.READY))
            self._model.scheduler.resume(proved_at=began)
            if self._model.scheduler.outage is not None:
                self._look.set()  # it began while the canary was away; the next one may end it

    async def _heal(self, error: BackendProcessDied) -> None:
        self._set(health(State.RESTARTING, error.message))
        # Calls that still wait for the dead process fail a second apiece, one after another: they are given up.
        self._model.scheduler.suspend(error)
        _log.warning("restarting a model whose backend process died", extra={"model": self._name})
        self.healing = True
        try:
            failure = await self._healer.restart(self._name)
        finally:
            self.healing = False
        if failure is not None:
            reason = f"Its backend process died and it could not be restarted: {failure}"
            self._unhealed = health(State.UNAVAILABLE, reason)
            self._set(self._unhealed)
            return
        self._died = self._unhealed = None
        self._look.clear()

    def _shed(self, error: EngineUnavailable) -> None:
        self._set(_outage_health(error))
        self._model.scheduler.suspend(error)

    def _silent(self, seconds: float) -> None:
        """The canary has waited that long. A model that is only starting takes as long as it takes for its first call.
        Behind a queue of calls silence is no sign of death, on a model that is idle for as long it is."""
        if self.health.state == State.STARTING.value:
            if self._model.scheduler.idle_seconds >= SILENCE_SECONDS:
                self._set(health(State.STARTING, "It has not answered yet."))
        elif self._answers_beside_calls and seconds >= HUNG_SECONDS:
            self._hung(seconds)
        elif self._model.scheduler.idle_seconds >= SILENCE_SECONDS:
            self._set(_SILENT)

    def _hung(self, seconds: float) -> None:
        """Raises `BackendProcessDied` where it is to be replaced: a process that stands still is as good as dead."""
        if seconds >= LOST_SECONDS:
            raise BackendProcessDied("The process that runs this model does not answer and is being restarted.")
        self._set(_SILENT)
        if self._model.scheduler.outage is None:
            self._model.scheduler.suspend(EngineUnavailable(_SILENT.reason, code="model_unhealthy"))

    def _is_live(self) -> asyncio.Future[bool]:
        return asyncio.ensure_future(self._engine.is_live())

    async def _pause(self) -> None:
        seconds = self._interval_seconds
        if not self.health.ready:
            seconds = min(seconds, _DOWN_INTERVAL_SECONDS)
        with contextlib.suppress(TimeoutError):
            # Not `wait_for`: it swallows a cancellation that comes in the moment in which it is told to look.
            async with asyncio.timeout(seconds):
                await self._look.wait()
        self._look.clear()

    def _set(self, new: ModelHealth) -> None:
        if new != self.health:
            level = logging.DEBUG if new.state == State.STARTING.value else logging.INFO
            told = {"model": self._name, "state": new.state, "reason": new.reason}
            _log.log(level, "model health changed", extra=told)
        self.health = new
        self._model.proof.tell(ready=new.ready)
        self._on_health(new)


def _outage_health(error: EngineUnavailable) -> ModelHealth:
    if isinstance(error, BackendProcessDied):
        return health(State.RESTARTING, error.message)
    return health(State.UNAVAILABLE, error.message)
