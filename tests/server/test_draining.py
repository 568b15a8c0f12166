"""The phases of a stop, by a clock that goes when somebody sleeps."""

import logging
import signal

import pytest
from attrs import define, field

from sidecar.config.models import Drain
from sidecar.server.draining import ACCEPT_S, CUT_S, QUIET_S, Drainage
from sidecar.server.stopping import Stop


@define
class Server:
    """Requests end, and idle connections have been quiet, at a time. `told`: what was asked of it, and when."""

    ends_at: list = field(factory=list)
    quiet_at: list = field(factory=list)
    now: float = 0.0
    deaf: bool = False
    """Whether it goes on when it is cut."""
    told: list = field(factory=list)
    plans: dict = field(factory=dict)
    """Time -> what happens then."""

    def clients(self):
        return self.under_way() + len(self.quiet_at)

    def under_way(self):
        return sum(end > self.now for end in self.ends_at)

    def drain(self):
        self.told.append(("drain", self.now))

    def close_idle(self, quiet_s):
        idle = [at for at in self.quiet_at if at + quiet_s <= self.now]
        self.quiet_at = [at for at in self.quiet_at if at not in idle]
        return len(idle)

    def cut(self, error):
        count = self.under_way()
        self.told.append((error.code, self.now))
        if not self.deaf:
            self.ends_at = []
        return count

    async def close(self):
        self.told.append(("close", self.now))

    async def sleep(self, seconds):
        self.now = round(self.now + seconds, 6)
        for at in [at for at in self.plans if at <= self.now]:
            self.plans.pop(at)()

    async def stopped(self, stop, **drain):
        """When it was over."""
        settings = Drain(**drain)
        await Drainage(self, settings, stop, self.close, clock=lambda: self.now, sleep=self.sleep).run()
        return self.now

    def when(self, what):
        return [at for name, at in self.told if name == what]


def told(*signs):
    stop = Stop()
    for sign in signs:
        stop.signalled(sign)
    return stop


async def test_nothing_to_wait_for_takes_no_time():
    server = Server()
    assert await server.stopped(told(signal.SIGTERM)) == 0
    assert server.told == [("close", 0), ("drain", 0)]


async def test_the_socket_is_closed_after_the_delay_and_answers_end_connections_from_then_on():
    server = Server(ends_at=[7])
    assert await server.stopped(told(signal.SIGTERM), delay_s=5, timeout_s=30) == pytest.approx(7, abs=0.1)
    assert server.told == [("close", 5), ("drain", 5)]


@pytest.mark.parametrize("stop", [told(signal.SIGINT), Stop()], ids=["SIGINT", "nobody asked"])
async def test_only_who_was_told_so_delays(stop):
    server = Server()
    assert await server.stopped(stop, delay_s=5) == 0


async def test_what_runs_after_the_time_is_cut():
    server = Server(ends_at=[3, 100])
    assert await server.stopped(told(signal.SIGTERM), delay_s=1, timeout_s=10) == 11
    assert server.when("draining") == [11]


async def test_nobody_waits_for_ever_for_what_was_cut():
    server = Server(ends_at=[100], deaf=True)
    assert await server.stopped(told(signal.SIGTERM), timeout_s=10) == 10 + CUT_S


async def test_a_connection_that_was_busy_a_moment_ago_may_ask_once_more():
    server = Server(quiet_at=[-9, -0.25])
    stop = told(signal.SIGTERM)
    server.plans = {0.01: lambda: server.told.append((server.clients(), server.now))}
    assert await server.stopped(stop) == pytest.approx(QUIET_S - 0.25, abs=0.1)
    assert server.told[-1][0] == 1  # the other one was closed at once


@pytest.mark.parametrize("when", [2, 6], ids=["in the delay", "while it drains"])
async def test_a_second_signal_cuts_in_any_phase(when):
    server, stop = Server(ends_at=[100]), told(signal.SIGTERM)
    server.plans = {when: lambda: stop.signalled(signal.SIGTERM)}
    assert await server.stopped(stop, delay_s=5, timeout_s=30) == pytest.approx(when, abs=0.1)
    assert len(server.when("draining")) == 1


async def test_who_hands_over_accepts_for_a_while_what_waits_at_its_socket():
    server, stop = Server(ends_at=[4]), Stop()
    stop.hand_over()
    assert await server.stopped(stop, delay_s=5) == pytest.approx(4, abs=0.1)
    assert server.told == [("drain", 0), ("close", ACCEPT_S), ("drain", ACCEPT_S)]


async def test_who_hands_over_is_settled_when_only_requests_under_way_are_left():
    server, stop = Server(ends_at=[9], quiet_at=[1]), Stop()
    stop.hand_over()
    server.plans = {at: lambda at=at: server.told.append((stop.settled.is_set(), at)) for at in (0.6, 1.4, 1.6)}
    await server.stopped(stop)
    assert [pair for pair in server.told if pair[0] in (True, False)] == [(False, 0.6), (False, 1.4), (True, 1.6)]


async def test_each_phase_is_logged_with_counts(caplog):
    caplog.set_level(logging.INFO)
    server = Server(ends_at=[3, 100], quiet_at=[-9])
    await server.stopped(told(signal.SIGTERM), delay_s=1, timeout_s=10)
    assert caplog.messages == [
        "stopping (SIGTERM): not ready, listening for 1 s more; 3 connections, 2 requests under way",
        "stopping: no new connections; 3 connections, 2 requests under way have 10 s to end",
        "stopping: drained for 10.0 s; 1 connections closed idle, 1 with their answer; 1 requests under way",
        "stopping: 10 s are over: 1 requests are cut",
    ]


def test_what_was_asked_for_first_holds():
    stop = Stop()
    stop.ask("/quitquitquit")
    stop.signalled(signal.SIGINT)
    assert (stop.why, stop.delays, stop.at_once.is_set()) == ("/quitquitquit", True, False)
    stop.signalled(signal.SIGTERM)
    assert stop.at_once.is_set()
