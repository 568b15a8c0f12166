"""Times are arguments: an hour of ejections passes in a microsecond."""

from hypothesis import given
from hypothesis import strategies as st

from sidecar.upstream.health import Change, Event, Fault, Health, LastError, OutlierDetection

BASE = OutlierDetection().base_ejection_time_s


def fail(health, provider="a", times=5, now=0.0, fault=Fault.SERVER):
    return [health.failed(health.begin(provider, now), fault, now) for _ in range(times)][-1]


def succeed(health, provider="a", now=0.0):
    return health.succeeded(health.begin(provider, now), now)


def ejected(now=0.0):
    health = Health(OutlierDetection())
    fail(health, now=now)
    return health


def test_the_defaults_are_envoys():
    settings = OutlierDetection()
    assert (settings.consecutive_5xx, settings.consecutive_gateway_failure) == (5, 5)
    assert (settings.interval_s, settings.base_ejection_time_s, settings.max_ejection_time_s) == (10, 30, 300)


def test_a_provider_nobody_asked_yet_is_healthy():
    health = Health(OutlierDetection())
    assert health.available("a", 0)
    assert not health.ejected("a")
    assert health.snapshot(0) == ()


def test_all_attempts_but_a_probe_hold_one_ticket_until_the_provider_is_ejected_or_returns():
    health = Health(OutlierDetection())
    healthy = [health.begin("a", now) for now in range(3)]
    fail(health)
    away = [health.begin("a", now) for now in range(3)]
    probe, beside = health.begin("a", BASE), health.begin("a", BASE)
    assert len({*healthy}) == len({*away, beside}) == 1
    health.succeeded(probe, BASE)
    assert len({healthy[0], away[0], probe, health.begin("a", BASE)}) == 4


def test_failures_in_a_row_eject():
    health = Health(OutlierDetection())
    assert fail(health, times=4) is None
    assert health.available("a", 0)
    assert fail(health, times=1) == Event("a", Change.EJECTED, BASE)
    assert not health.available("a", 0)
    assert health.ejected("a")


def test_an_answer_in_between_begins_the_count_anew():
    health = Health(OutlierDetection())
    for _ in range(10):
        fail(health, times=4)
        assert succeed(health) is None
    assert health.available("a", 0)


def test_gateway_failures_have_a_count_of_their_own():
    health = Health(OutlierDetection(consecutive_5xx=5, consecutive_gateway_failure=2))
    fail(health, times=1, fault=Fault.GATEWAY)
    fail(health, times=1, fault=Fault.RATE_LIMIT)
    assert fail(health, times=1, fault=Fault.GATEWAY) is None
    assert fail(health, times=1, fault=Fault.GATEWAY).change is Change.EJECTED


def test_providers_are_ejected_each_by_itself():
    assert ejected().available("b", 0)


def test_after_its_time_one_request_tries_it_and_the_others_do_not():
    health = ejected()
    assert not health.available("a", BASE - 0.1)
    assert health.available("a", BASE)
    assert health.begin("a", BASE).probe
    assert not health.available("a", BASE)
    assert not health.begin("a", BASE).probe


def test_a_probe_that_is_answered_brings_it_back():
    health = ejected()
    assert succeed(health, now=BASE) == Event("a", Change.RETURNED)
    assert health.available("a", BASE)
    assert fail(health, times=4, now=BASE) is None


def test_a_probe_that_fails_ejects_it_for_longer_up_to_the_bound():
    health, now, times = ejected(), BASE, []
    for _ in range(12):
        event = fail(health, times=1, now=now)
        times.append(event.ejected_for_s)
        now += event.ejected_for_s
    assert times == [60, 90, 120, 150, 180, 210, 240, 270, 300, 300, 300, 300]


def test_healthy_time_takes_ejections_back_one_by_one():
    health = ejected()
    fail(health, times=1, now=30)  # the second, for 60 s
    succeed(health, now=90)
    assert fail(health, now=99).ejected_for_s == 90
    succeed(health, now=189)
    assert fail(health, now=189 + 20).ejected_for_s == 60
    succeed(health, now=269)
    assert fail(health, now=269 + 3600).ejected_for_s == 30


def test_a_probe_that_was_given_up_leaves_its_place_to_the_next():
    health = ejected()
    health.abandoned(health.begin("a", BASE))
    assert health.available("a", BASE)
    assert health.begin("a", BASE).probe


def test_a_last_resort_that_answers_brings_it_back_and_one_that_fails_changes_nothing():
    health = ejected()
    assert fail(health, times=20, now=1) is None
    assert health.available("a", BASE)
    assert ejected_for(health, 1) == BASE - 1
    assert succeed(health, now=2).change is Change.RETURNED


def ejected_for(health, now):
    return health.snapshot(now)[0].ejected_for_s


def test_what_began_before_an_ejection_or_a_return_is_old_news():
    health = Health(OutlierDetection())
    old = [health.begin("a", 0) for _ in range(7)]
    fail(health)
    assert health.succeeded(old[0], 1) is None
    assert health.failed(old[1], Fault.SERVER, 1) is None
    probe = health.begin("a", BASE)
    health.abandoned(old[2])
    assert not health.available("a", BASE)
    health.succeeded(probe, BASE)
    assert [health.failed(ticket, Fault.SERVER, BASE) for ticket in old[2:]] == [None] * 5
    assert health.available("a", BASE)


def test_it_counts_how_many_are_ejected():
    health, counts = Health(OutlierDetection()), []
    for step in (
        succeed,
        fail,
        fail,
        lambda health: fail(health, "b"),
        succeed,
        succeed,
        lambda health: succeed(health, "b"),
    ):
        step(health)
        counts.append(health.away)
    assert counts == [0, 1, 1, 2, 1, 1, 0]


def test_while_nobody_is_ejected_the_order_is_that_of_the_ranks():
    health = Health(OutlierDetection())
    fail(health, times=4)
    assert (health.away, health.order("cab", str, 1)) == (0, tuple("cab"))


def test_the_ejected_are_tried_behind_all_others_by_rank():
    health = Health(OutlierDetection())
    fail(health, "a")
    fail(health, "c")
    assert health.order(["a1", "b1", "c1", "d1", "a2"], lambda model: model[0], 1) == ("b1", "d1", "a1", "c1", "a2")
    assert health.order(["c1", "a1"], lambda model: model[0], 1) == ("c1", "a1")
    assert health.order(["a1", "b1"], lambda model: model[0], BASE) == ("a1", "b1")


def test_the_snapshot_tells_all_of_it():
    health = ejected(now=5)
    succeed(health, "b", now=5)
    fail(health, "b", times=1, fault=Fault.GATEWAY, now=5)
    first, second = health.snapshot(15)
    assert (first.provider, first.ejected, first.ejected_for_s, first.ejections, first.failures) == (
        "a",
        True,
        20,
        1,
        5,
    )
    assert (second.provider, second.ejected, second.ejected_for_s, second.successes) == ("b", False, 0, 1)
    assert (second.consecutive_5xx, second.consecutive_gateway_failure) == (1, 1)


STEPS = st.lists(st.tuples(st.sampled_from(["begin", "succeeded", "failed", "abandoned", "wait"]), st.integers(0, 9)))


@given(STEPS)
def test_whatever_happens_there_is_one_probe_at_most_and_a_way_back(steps):
    health, now, tickets = Health(OutlierDetection(consecutive_5xx=2)), 0.0, []
    for step, number in steps:
        if step == "wait":
            now += number * 20
        elif step == "begin":
            tickets.append(health.begin("a", now))
        elif tickets:
            ticket = tickets.pop(number % len(tickets))
            args = {"succeeded": (now,), "failed": (Fault.SERVER, now), "abandoned": ()}[step]
            getattr(health, step)(ticket, *args)
        probes = [ticket for ticket in tickets if ticket.probe]
        assert len({ticket.generation for ticket in probes}) == len(probes)
    for ticket in tickets:
        health.abandoned(ticket)
    assert health.available("a", now + 301)


def test_the_last_error_is_kept_whatever_it_says_of_health():
    health = Health(OutlierDetection())
    ticket = health.begin("a", 0)
    health.erred(ticket, LastError(1.0, "key_refused", 401))
    health.succeeded(ticket, 0)
    health.erred(health.begin("a", 1), LastError(2.0, "timeout"))
    [condition] = health.snapshot(1)
    assert (condition.last_error, condition.ejected) == (LastError(2.0, "timeout"), False)
    succeed(health)
    assert health.snapshot(2)[0].last_error == LastError(2.0, "timeout")


def test_other_settings_hold_from_the_next_failure_on_and_who_is_ejected_stays_so():
    health = Health(OutlierDetection())
    fail(health, times=2)
    health.configure(OutlierDetection(consecutive_5xx=3))
    assert fail(health, times=1) == Event("a", Change.EJECTED, BASE)
    health.configure(OutlierDetection(base_ejection_time_s=1))
    assert health.ejected("a")
    assert not health.available("a", BASE - 0.1)


def test_what_is_forgotten_is_as_if_never_asked():
    health = ejected()
    health.forget(["a", "never asked"])
    assert (health.ejected("a"), health.available("a", 0), health.away, health.snapshot(0)) == (
        False,
        True,
        0,
        (),
    )


def test_what_was_begun_before_it_was_forgotten_says_nothing_of_what_came_in_its_place():
    health = Health(OutlierDetection(consecutive_5xx=1))
    tickets = [health.begin("a", 0) for _ in range(4)]
    health.forget(["a"])
    assert health.failed(tickets[0], Fault.SERVER, 0) is None
    assert health.snapshot(0) == ()
    health.begin("a", 0)
    assert health.failed(tickets[1], Fault.SERVER, 0) is None
    health.abandoned(tickets[2])
    assert health.succeeded(tickets[3], 0) is None
    assert not health.ejected("a")
