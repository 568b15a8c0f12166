"""One timer for many waits. The loop's clock is a number."""

from math import inf

from sidecar.upstream.alarm import Alarm


class Clockwork:
    """What of a loop an alarm uses."""

    def __init__(self):
        self.now, self.timers = 0.0, []

    def time(self):
        return self.now

    def call_at(self, when, callback):
        timer = Timer(when, callback, self.timers)
        self.timers.append(timer)
        return timer

    def at(self, now):
        """Lives until then."""
        while due := [timer for timer in self.timers if timer.when <= now]:
            first = min(due, key=lambda timer: timer.when)
            self.now = max(self.now, first.when)
            first.cancel()
            first.callback()
        self.now = now


class Timer:
    def __init__(self, when, callback, timers):
        self.when, self.callback, self.timers = when, callback, timers

    def cancel(self):
        self.timers.remove(self)


def made():
    loop, rung = Clockwork(), []
    return loop, rung, Alarm(loop, lambda: rung.append(loop.now))


def test_it_rings_once_when_it_is_due():
    loop, rung, alarm = made()
    alarm.set(5)
    loop.at(100)
    assert (rung, loop.timers) == ([5], [])


def test_a_wait_that_ends_in_time_costs_no_timer():
    loop, rung, alarm = made()
    for now in range(0, 100, 10):
        loop.at(now)
        alarm.set(now + 120)
        assert len(loop.timers) == 1
        timer = loop.timers[0]
        alarm.set(inf)
        assert loop.timers == [timer]
    loop.at(1000)
    assert (rung, loop.timers) == ([], [])


def test_what_is_due_later_than_the_timer_rings_then():
    loop, rung, alarm = made()
    alarm.set(10)
    alarm.set(35)
    loop.at(100)
    assert rung == [35]


def test_what_is_due_sooner_than_the_timer_rings_then():
    loop, rung, alarm = made()
    alarm.set(120)
    alarm.set(inf)
    alarm.set(7)
    loop.at(300)
    assert rung == [7]


def test_one_that_is_stopped_leaves_nothing_and_can_be_set_again():
    loop, rung, alarm = made()
    alarm.set(5)
    alarm.stop()
    assert loop.timers == []
    alarm.set(9)
    loop.at(100)
    assert rung == [9]


def test_who_only_puts_it_off_need_not_call():
    loop, rung, alarm = made()
    alarm.set(10)
    alarm.due_at = 35
    assert alarm.armed_at == 10
    loop.at(100)
    assert rung == [35]
