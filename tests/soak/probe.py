"""
What the sidecar adds, while everything goes on: the same small call straight to the provider and through the sidecar, in
turns, from a process of its own.

    python tests/soak/probe.py PORT PROVIDER_PORT --seconds N --report FILE

Both stand in the same queue for the same two cores; what differs is the sidecar and the way there.
"""

import argparse
import http.client
import json
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from soak.formats import CHAT, asking
from soak.traffic import PROMPTS
from soak.wishes import Wish

PAUSE_S = 0.02


class Line:
    """One connection, made again when it was closed."""

    def __init__(self, port):
        self.port, self.connection, self.taken_ms, self.failed = port, None, [], 0

    def ask(self, body, headers):
        if self.connection is None:
            self.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
            self.connection.connect()
        began = time.perf_counter()
        try:
            self.connection.request("POST", f"/v1/{CHAT}", body, headers)
            answer = self.connection.getresponse()
            answer.read()
        except (OSError, http.client.HTTPException):
            self.failed += 1
            self.connection = None
            return
        if answer.status == 200 and not answer.getheader("x-sidecar-failover"):
            self.taken_ms.append((time.perf_counter() - began) * 1000)
        if answer.getheader("connection") == "close":
            self.connection.close()
            self.connection = None


def figures(values):
    values = sorted(values)
    return (
        {"count": len(values), "p50_ms": values[len(values) // 2], "p99_ms": values[int(len(values) * 0.99)]}
        if values
        else {}
    )


def main(wanted):
    straight, through = Line(wanted.provider), Line(wanted.port)
    headers = {"content-type": "application/json", "authorization": "Bearer soak-key-one", "x-session-id": "probe"}
    until, count = time.monotonic() + wanted.seconds, 0
    while time.monotonic() < until:
        count += 1
        body = asking(CHAT, f"{PROMPTS[1]} {Wish(f'probe-{count}', 'probe').prompt}", model="gamma")
        straight.ask(body, {key: value for key, value in headers.items() if key != "x-session-id"})
        through.ask(body, headers)
        time.sleep(PAUSE_S)
    said = {"straight": figures(straight.taken_ms), "through": figures(through.taken_ms)}
    said["failed"] = through.failed
    Path(wanted.report).write_text(json.dumps(said))


def parsed():
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("provider", type=int)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--report", required=True)
    return parser.parse_args()


if __name__ == "__main__":
    main(parsed())
