"""How often the pin of an agent that waits is used."""

from sidecar.routing.warm import Warm


def test_a_pin_is_used_once_in_a_tenth_of_its_life():
    warm = Warm(ttl_s=600, capacity=10)
    assert [now for now in range(0, 200, 10) if warm.due("a", now)] == [0, 60, 120, 180]


def test_each_pin_has_its_own_time():
    warm = Warm(ttl_s=600, capacity=10)
    assert warm.due("a", 0)
    assert warm.due("b", 30)
    assert warm.due("a", 60)
    assert not warm.due("b", 60)


def test_a_clock_that_is_set_back_does_not_let_a_pin_grow_cold():
    warm = Warm(ttl_s=600, capacity=10)
    assert warm.due("a", 1000)
    assert warm.due("a", 500)


def test_it_remembers_no_more_than_it_may():
    warm = Warm(ttl_s=600, capacity=3)
    assert all(warm.due(str(key), 0) for key in range(10))
    assert len(warm) == 3
    assert not warm.due("9", 1)
