"""The keys of pins that expired lately: for how long, and how many."""

from sidecar.routing.lately import Lately


def test_a_key_is_known_until_its_time_and_no_longer():
    lately = Lately(capacity=9)
    lately.remember("a", until=10, now=0)
    assert [lately.knows("a", now) for now in (0, 9.9, 10)] == [True, True, False]
    assert not lately.knows("never", now=0)


def test_of_too_many_the_oldest_go():
    lately = Lately(capacity=2)
    for key in "abc":
        lately.remember(key, until=10, now=0)
    assert ([lately.knows(key, now=1) for key in "abc"], len(lately)) == ([False, True, True], 2)


def test_those_whose_time_is_over_make_room():
    lately = Lately(capacity=9)
    for key in "abc":
        lately.remember(key, until=10, now=0)
    lately.remember("d", until=30, now=20)
    assert (lately.knows("d", now=21), len(lately)) == (True, 1)


def test_what_is_over_already_is_not_remembered():
    lately = Lately(capacity=9)
    lately.remember("a", until=10, now=10)
    assert len(lately) == 0


def test_a_key_can_be_forgotten():
    lately = Lately(capacity=9)
    lately.remember("a", until=10, now=0)
    lately.forget("a")
    lately.forget("never")
    assert not lately.knows("a", now=1)


def test_a_smaller_capacity_forgets_the_oldest():
    lately = Lately(3)
    for key in "abc":
        lately.remember(key, 10, now=0)
    lately.resize(1)
    assert [lately.knows(key, 1) for key in "abc"] == [False, False, True]
