"""
The guard: a classifier's failures stop here, and a request never waits longer than it was told to.

It asks the classifier and always has a verdict to give. One that raises, is late, or answers rubbish becomes a verdict
with a `failure`, and so the request's own model answers. One that fails again and again is left alone for a while.

Why `asyncio.wait` and not `asyncio.timeout`: a timeout cancels the call and then waits for it to end, so a call that
ignores its cancellation holds the request for ever. Here the call is cancelled and left behind; the guard keeps hold
of it until it ends, and asks nothing more while too many are left.
"""

import asyncio
import logging
from collections.abc import Callable
from math import isfinite

from attrs import evolve

from sidecar.classifiers import Classifier
from sidecar.config.models import Breaker, Route
from sidecar.errors import SidecarError
from sidecar.routing.breaker import Circuit, State, Ticket
from sidecar.routing.intent import Intent
from sidecar.routing.verdict import Failure, Verdict

logger = logging.getLogger("sidecar.classifier")

MAX_LEFT_BEHIND = 16
"""So many calls that outlived their time and their cancellation; with that many, the classifier is not asked."""
QUIET_S = 60.0
"""At most one line about failed calls in this time, so that a broken classifier does not flood the log."""

Observer = Callable[[Verdict, float], None]
"""Told of every verdict and how long it took, in seconds. Must not raise."""


class Rubbish(SidecarError):
    """A classifier answered what no classifier may."""

    code = "classifier_rubbish"


class Guard:
    """A classifier that never raises (except `CancelledError`, when the request itself is given up)."""

    def __init__(
        self,
        classifier: Classifier,
        *,
        timeout_s: float | None,
        breaker: Breaker,
        clock: Callable[[], float],
        observe: Observer | None = None,
    ) -> None:
        """
        `clock` gives seconds and never goes back (`time.monotonic`).

        `timeout_s=None` is for a classifier that computes without waiting for anything: it is awaited directly, which
        saves a task and a timer; nothing could interrupt it anyway.
        """
        self._classifier = classifier
        self._timeout_s = timeout_s
        self._circuit = Circuit(breaker)
        self._clock = clock
        self._observe = observe or _nobody
        self._journal = _Journal(breaker)
        self._left_behind: set[asyncio.Task[Verdict]] = set()

    @property
    def circuit(self) -> State:
        """Whether the classifier is asked: closed is yes."""
        return self._circuit.state

    async def classify(self, intent: Intent, routes: tuple[Route, ...]) -> Verdict:
        """The classifier's verdict if it is sound and in time; else one that says which `Failure` it was."""
        began = self._clock()
        verdict = await self._admitted(began, intent, routes)
        verdict = evolve(verdict, seconds=self._clock() - began)
        self._observe(verdict, verdict.seconds)
        return verdict

    async def _admitted(self, now: float, intent: Intent, routes: tuple[Route, ...]) -> Verdict:
        if len(self._left_behind) >= MAX_LEFT_BEHIND:
            return Verdict(failure=Failure.OPEN)
        ticket = self._circuit.enter(now)
        self._journal.state(self._circuit.state)
        if ticket is None:
            return Verdict(failure=Failure.OPEN)
        try:
            return await self._judged(ticket, intent, routes)
        finally:
            # Does nothing for a call that has reported; one that was cut off, by whatever, gives its place back.
            self._circuit.abandoned(ticket)

    async def _judged(self, ticket: Ticket, intent: Intent, routes: tuple[Route, ...]) -> Verdict:
        try:
            verdict = sound(await self._asked(intent, routes), routes)
        except _Late:
            return self._failed(ticket, Failure.TIMEOUT, f"no verdict in {self._timeout_s:g} s")
        except Exception as exc:  # noqa: BLE001 - whatever a classifier raises, the request goes on
            return self._failed(ticket, Failure.ERROR, _described(exc))
        self._circuit.succeeded(ticket)
        self._journal.state(self._circuit.state)
        return verdict

    async def _asked(self, intent: Intent, routes: tuple[Route, ...]) -> object:
        call = self._classifier.classify(intent, routes)
        if self._timeout_s is None:
            return await call
        task = asyncio.ensure_future(call)
        task.add_done_callback(_seen)
        try:
            await asyncio.wait((task,), timeout=self._timeout_s)
        finally:
            if not task.done():
                self._leave(task)
        if not task.done():
            raise _Late
        if task.cancelled():  # by itself; a request that is given up is cancelled in the wait above
            raise Rubbish("the classifier gave up by itself")
        return task.result()

    def _leave(self, task: asyncio.Task[Verdict]) -> None:
        self._left_behind.add(task)
        task.add_done_callback(self._left_behind.discard)
        task.cancel()

    def _failed(self, ticket: Ticket, failure: Failure, why: str) -> Verdict:
        now = self._clock()
        self._circuit.failed(ticket, now)
        self._journal.failure(why, now)
        self._journal.state(self._circuit.state)
        return Verdict(failure=failure)


def sound(verdict: object, routes: tuple[Route, ...]) -> Verdict:
    """`verdict` itself, when it is one that may be acted on. Raises `Rubbish`."""
    if not isinstance(verdict, Verdict) or verdict.failure is not None:
        raise Rubbish(f"the classifier answered with {type(verdict).__name__}, which is no verdict")
    if verdict.route is not None and not any(route.name == verdict.route for route in routes):
        raise Rubbish("the classifier named a route that does not exist")
    if not 0 <= verdict.confidence <= 1:
        raise Rubbish(f"the classifier's confidence is {verdict.confidence}, which is not between 0 and 1")
    if not all(isfinite(score) for _, score in verdict.scores):
        raise Rubbish("the classifier gave a score that is no number")
    return verdict


class _Late(Exception):
    """The classifier's time is over. Not a TimeoutError: the classifier may raise that one itself."""


class _Journal:
    """What the log says of a classifier: a line for each change of the circuit, now and then one for failures."""

    def __init__(self, breaker: Breaker) -> None:
        self._breaker = breaker
        self._told = State.CLOSED
        self._last_line_at: float | None = None
        self._kept_quiet = 0

    def state(self, state: State) -> None:
        if state is self._told:
            return
        self._told = state
        if state is State.OPEN:
            logger.warning("the classifier keeps failing: not asked for %g s", self._breaker.cooldown_s)
        elif state is State.HALF_OPEN:
            logger.info("the classifier is tried again")
        else:
            logger.info("the classifier answers again")

    def failure(self, why: str, now: float) -> None:
        if self._last_line_at is not None and now - self._last_line_at < QUIET_S:
            self._kept_quiet += 1
            return
        more = f" ({self._kept_quiet} more since the last such line)" if self._kept_quiet else ""
        logger.warning("the classifier failed: %s%s", why, more)
        self._last_line_at, self._kept_quiet = now, 0


def _described(exc: Exception) -> str:
    """Our own messages are safe to log; a foreign one may quote the prompt, so only its kind is told."""
    return exc.message if isinstance(exc, SidecarError) else type(exc).__name__


def _seen(task: asyncio.Task[Verdict]) -> None:
    """Looks at how a call ended that nobody may be waiting for: asyncio complains of errors that nobody looked at."""
    if not task.cancelled():
        task.exception()


def _nobody(_verdict: Verdict, _seconds: float) -> None:
    """Nobody watches."""
