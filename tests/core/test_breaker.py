"""The pause after failures."""

from server.core.breaker import Breaker


def test_it_opens_after_failures_in_a_row_and_lets_one_try() -> None:
    now = [0.0]
    breaker = Breaker(2, 10, 35, lambda: now[0])
    for _ in range(5):
        assert breaker.admit()
        breaker.fail()
        assert breaker.admit()
        breaker.succeed()
    for _ in range(2):
        assert breaker.admit()
        breaker.fail()
    for pause in (10, 20, 35, 35):
        assert not breaker.admit()
        now[0] += pause - 0.1
        assert not breaker.admit()
        now[0] += 0.2
        assert breaker.admit()
        assert not breaker.admit()  # one at a time
        breaker.fail()
    now[0] += 35
    assert breaker.admit()
    breaker.leave()
    assert breaker.admit()
    breaker.succeed()
    assert breaker.admit()
    assert breaker.admit()
