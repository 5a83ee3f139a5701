"""Stops come after what they must not break off, and no stop is lost."""

from __future__ import annotations

import signal
import threading
import weakref

import pytest

from gateway.cli import up
from gateway.cli.postponed_stops import postponed_stops
from gateway.cli.up import StopRequested, stop_signals

STOPS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


class Thing:
    """Something whose end may be listened for."""


@pytest.mark.parametrize("stop", STOPS, ids=lambda stop: stop.name)
def test_a_stop_comes_when_the_import_is_over(stop: signal.Signals, monkeypatch: pytest.MonkeyPatch) -> None:
    imported = []

    def import_with_a_callback(name: str) -> None:
        thing = Thing()
        # As importlib has for its locks: what is raised in a callback is lost.
        ears = weakref.ref(thing, lambda _: signal.raise_signal(stop))
        del thing
        assert ears() is None
        imported.append(name)

    monkeypatch.setattr(up, "import_module", import_with_a_callback)
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(StopRequested), stop_signals():
        up.import_app()
    assert imported == ["gateway.app"]
    assert signal.getsignal(signal.SIGINT) is before


def test_one_stop_of_several_is_done_and_later_ones_are_not_postponed() -> None:
    def stopped_twice() -> None:
        with postponed_stops():
            signal.raise_signal(signal.SIGTERM)
            signal.raise_signal(signal.SIGINT)

    with stop_signals():
        for stop in (stopped_twice, lambda: signal.raise_signal(signal.SIGINT)):
            with pytest.raises(StopRequested):
                stop()


def test_what_fails_fails_as_itself() -> None:
    def stopped_and_broken() -> None:
        with stop_signals(), postponed_stops():
            signal.raise_signal(signal.SIGINT)
            raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        stopped_and_broken()


def test_another_thread_is_not_concerned() -> None:
    done = []

    def work() -> None:
        with postponed_stops():
            done.append(True)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(10)
    assert done == [True]
