from __future__ import annotations

from gateway.caching.breaker import Breaker


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_each_failure_pauses_twice_as_long_up_to_a_bound_and_one_success_ends_it() -> None:
    clock = Clock()
    breaker = Breaker(clock=clock)
    pauses = []
    for _ in range(10):
        assert breaker.allows()
        breaker.failed()
        began = clock.now
        while not breaker.allows():
            clock.now += 0.25
        breaker.gave_up()
        pauses.append(clock.now - began)
    assert pauses == [0.5, 1, 2, 4, 8, 16, 30, 30, 30, 30]
    assert breaker.allows()
    breaker.succeeded()
    assert breaker.allows()
    assert breaker.allows()


def test_one_attempt_goes_through_when_a_pause_is_over() -> None:
    clock = Clock()
    breaker = Breaker(clock=clock)
    assert breaker.failed()
    clock.now += 1
    assert breaker.allows()
    assert not breaker.allows()
    breaker.gave_up()
    assert breaker.allows()


def test_failures_of_attempts_that_ran_together_count_once() -> None:
    clock = Clock()
    breaker = Breaker(clock=clock)
    assert [breaker.failed() for _ in range(50)] == [True] + [False] * 49
    clock.now += 0.5
    assert breaker.allows()
