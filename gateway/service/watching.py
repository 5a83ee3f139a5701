"""Watches one served model: proves it by its canary, tells its scheduler when to shed and resume, has it healed."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable

from gateway.errors import BackendProcessDied, DeadlineExceeded, EngineUnavailable, GatewayError
from gateway.service.canary import CALL_TIMEOUT_SECONDS, Canary, WrongVector
from gateway.service.healing import Healer
from gateway.service.health import ModelHealth, State, health
from gateway.service.public_model import ServedModel
from gateway.triton.engine import Engine

_log = logging.getLogger(__name__)

# While a model is down it is looked at this often, so that service resumes soon after its return.
_DOWN_INTERVAL_SECONDS = 0.1


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
    ) -> None:
        self._model = model
        self._name = model.card.name
        self._canary = canary
        self._engine = engine
        self._healer = healer
        self._interval_seconds = interval_seconds
        self._on_health = on_health
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
        """The canary waits. Behind a queue of calls that is no sign of death, nor on a model that is only starting: its
        first call takes as long as it takes. On any other that is idle for as long it is."""
        if self._model.scheduler.idle_seconds < seconds:
            return
        if self.health.state == State.STARTING.value:
            self._set(health(State.STARTING, "It has not answered yet."))
        else:
            self._set(health(State.UNAVAILABLE, "The model does not answer."))

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
        self._on_health(new)


def _outage_health(error: EngineUnavailable) -> ModelHealth:
    if isinstance(error, BackendProcessDied):
        return health(State.RESTARTING, error.message)
    return health(State.UNAVAILABLE, error.message)
