"""
How long a scrape of `/metrics` keeps the event loop from others.

Seen from outside: one connection asks for `/healthz` again and again, with the time between two of them too short to
matter (microseconds). One of these that a scrape overlaps waits until the loop takes it; how much longer the slowest of
them takes than one takes when nobody scrapes is what this scrape held the loop for. That is the longest that a request
would have waited because of it: one part of a scrape that is written in parts, or two, where a request comes at the end
of one and the next goes before it. Nothing else is asked meanwhile, so that nothing waits to be told of when a scrape
comes; `metrics_hold.py` has that, in process.

Such a time is the sidecar's only where it had its core. From a scrape's question to its answer it has work all the time:
it runs, but for the usual way there and back. What is missing to that by its processor's clock (which stands still while
the host has the core, where it tells the kernel so, and while the process waits for it) was taken from it. This process
never sleeps meanwhile, so its own clock shows likewise when its core was taken, and an answer was seen late. A scrape with
more than `TAKEN_S` of either is left out, counted, and another one made in its place. /proc/stat tells the same of steal,
but by hundredths of a second, and schedstat of waiting: over the whole run both must come to what was left out, or the
sidecar itself has slept where it must not, and nothing is left out.
"""

import json
import os
import socket
import statistics
import time
from pathlib import Path

from attrs import frozen

from .clocks import TICK_S, cores, spent_s
from .figures import Spread, percentile
from .sidecars import answered

SERIES = 1_000
TAKEN_S = 1e-4
"""More than this of a scrape taken by others, and it tells nothing."""
USUAL = 200
"""Pings before the first scrape: what they take when nobody scrapes."""
PAUSE_S = 0.002
"""Between two scrapes. The sidecar sleeps by then, and its clock has all that it ran."""
MORE = 3
"""So many times as many scrapes as should count, at most."""
PATIENCE_S = 10
RECEIVED = 1 << 20


@frozen
class Scrape:
    """Seconds: from question to answer; what the sidecar ran of them, and what we did; and the slowest of its pings."""

    took_s: float
    ran_s: float
    ours_s: float
    slowest_s: float

    def taken_s(self, usual_s):
        """By others, of the sidecar's core or of ours; `usual_s`: on the way there and back nobody runs."""
        return max(self.took_s - self.ran_s - usual_s, self.took_s - self.ours_s)


@frozen
class Held:
    """
    `held_us`: of each scrape that counts, microseconds. `cpu_us`: of the sidecar's processor for a scrape, the median, all
    told.
    """

    series: int
    cpu_us: float
    scrapes: int
    held_us: tuple[float, ...]

    @property
    def left_out(self):
        return self.scrapes - len(self.held_us)

    def facts(self):
        """{name: Spread}: the longest, as a target is judged by it, and the others; milliseconds."""
        found = {"scrape_series": self.series, "scrape_cpu_us": self.cpu_us, "scrape_left_out": self.left_out}
        if self.held_us:
            found["scrape_held_median_ms"] = statistics.median(self.held_us) / 1e3
            found["scrape_held_p90_ms"] = percentile(self.held_us, 0.9) / 1e3
        facts = {name: Spread.of([value]) for name, value in found.items()}
        if self.held_us:
            least, longest = min(self.held_us) / 1e3, max(self.held_us) / 1e3
            facts["scrape_held_ms"] = Spread(longest, least, longest, len(self.held_us))  # "never": the worst counts
        return facts


def fill(candidate, port):
    """Requests for one of its models after the other, until there are `SERIES`. Gives how many there are."""
    body = json.dumps({"model": "auto", "messages": [{"role": "user", "content": "hello"}]})
    for n in range(candidate.more_models):
        if (found := series(candidate.admin)) >= SERIES:
            return found
        answered(candidate.admin, "PUT", f"/pins/more-{n}", json.dumps({"model": f"openai/more-{n}"}))
        for path in ("/routing/v1/chat/completions", "/v1/chat/completions"):
            answered(port, "POST", path, body, {"X-Session-Id": f"more-{n}"})
    return series(candidate.admin)


def series(admin):
    lines = answered(admin, "GET", "/metrics")[1].splitlines()
    return sum(bool(line) and not line.startswith(b"#") for line in lines)


def held(candidate, running, scrapes, *, regardless=False):
    """A Held, of `scrapes` that count if they can be had. `regardless`: all of them count."""
    count, pid = fill(candidate, running.port), running.group
    with _Asking(running.port) as asking, _Asking(candidate.admin) as scraping:
        usual_s = statistics.median(asking.ping() for _ in range(USUAL))
        before, found = _others_s(pid), []
        for one in _scrapes(asking, scraping, pid, scrapes * (1 if regardless else MORE)):
            found.append(one)
            if not regardless and len(_counted(found, usual_s)) >= scrapes:
                break
        others_s = _others_s(pid) - before
        cpu_us = statistics.median(_cpu_s(scraping, pid) for _ in range(scrapes)) * 1e6
    return told(found, usual_s, count, cpu_us, others_s=None if regardless else others_s)


def told(found, usual_s, series, cpu_us, *, others_s):
    """
    A Held. `found`: every Scrape; `usual_s`: what a ping takes when nobody scrapes; `others_s`: what others had of both
    cores meanwhile, where None makes all scrapes count.
    """
    counted = found if others_s is None else _counted(found, usual_s)
    left_s = sum(one.taken_s(usual_s) for one in found if one not in counted)
    if left_s and left_s > others_s + 2 * TICK_S:  # of each core a tick may be left that is not told yet
        counted = found
    return Held(series, cpu_us, len(found), tuple((one.slowest_s - usual_s) * 1e6 for one in counted))


def _counted(found, usual_s):
    return [one for one in found if one.taken_s(usual_s) <= TAKEN_S]


def _scrapes(asking, scraping, pid, most):
    until = time.monotonic() + PATIENCE_S
    for _ in range(most):
        time.sleep(PAUSE_S)
        yield _scrape(asking, scraping, pid)
        if time.monotonic() > until:
            return


def _scrape(asking, scraping, pid):
    ran, ours, began = spent_s(pid), time.thread_time(), time.perf_counter()
    scraping.send("/metrics")
    pings = [asking.ping()]
    while not scraping.whole():
        pings.append(asking.ping())
    took, ours = time.perf_counter() - began, time.thread_time() - ours
    time.sleep(PAUSE_S)
    return Scrape(took, spent_s(pid) - ran, ours, max(pings))


def _cpu_s(scraping, pid):
    time.sleep(PAUSE_S)
    before = spent_s(pid)
    scraping.send("/metrics")
    while not scraping.whole():
        pass
    time.sleep(PAUSE_S)
    return spent_s(pid) - before


def _others_s(pid):
    """Of all cores, what the host took; and what the sidecar's first thread and we waited for one."""
    waits = (int(Path(f"/proc/{one}/schedstat").read_text().split()[1]) / 1e9 for one in (pid, os.getpid()))
    return sum(cores()[1].values()) + sum(waits)


class _Asking:
    """One connection, one GET after the other."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, path):
        self.received = b""
        self.socket.sendall(f"GET {path} HTTP/1.1\r\nHost: bench\r\n\r\n".encode())

    def whole(self):
        """Whether the answer is there. Never waits."""
        try:
            came = self.socket.recv(RECEIVED, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        if not came:
            raise ConnectionError("the sidecar hung up")
        self.received += came
        head, blank, body = self.received.partition(b"\r\n\r\n")
        length = head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
        return bool(blank) and (len(body) >= int(length) if length else body.endswith(b"\r\n0\r\n\r\n"))

    def ping(self):
        """Seconds that one took."""
        began = time.perf_counter()
        self.send("/healthz")
        while not self.whole():
            pass
        return time.perf_counter() - began
