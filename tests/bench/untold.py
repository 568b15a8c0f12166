"""
`sidecar up` with nobody to tell: what the overhead of telemetry is measured against.

    python tests/bench/untold.py CONFIG [--port …]     as `sidecar up CONFIG [--port …]`

The same program, composed without what only watches: no records, no metrics, no access log, no spans, no watch on the
event loop, nothing read out of answers. What clients can see stays: ids of
requests and traces, and the `x-sidecar-…` headers. So do the clocks that time limits, pins and the health of providers
need, the list of attempts that a few of them share, and some sums once per request that nobody could measure.

The product has no such switch, and needs none: its parts are exchanged here before they are put together.
"""

import sys
import time
from contextlib import asynccontextmanager
from pathlib import Path

from sidecar import cli
from sidecar.listener import relay
from sidecar.listener.door import Door
from sidecar.listener.passage import Untouched
from sidecar.server import generation, serving
from sidecar.server.watching import Watchers
from sidecar.telemetry.meter import Metrics
from sidecar.telemetry.recent import Recent
from sidecar.telemetry.trace import Traces


class Deaf(Metrics):
    """Has every metric, and counts nothing."""

    def _ignore(self, *_):
        pass

    told = judged = attempted = changed = removed = dropped = pin_created = pin_moved = pin_removed = _ignore

    def store_counter(self, _store, _operation):
        return _nothing


def _nothing():
    pass


class Untelling(Door):
    def _tell(self, *_):
        pass


@asynccontextmanager
async def unwatched(_config, metrics):
    yield Watchers(metrics, Recent(time.time), Traces(), _nothing, _nothing)


def deaf(_config, catalog):
    return Deaf(models=catalog.models, routes=())


def unread(form, reply):
    return Untouched(form, events=reply.is_events and not reply.is_encoded)


def unaccounted(*_):
    return None


def silence():
    serving.watchers, serving.metrics_of = unwatched, deaf
    generation.Door = Untelling
    relay.untouched, relay.account_of = unread, unaccounted


if __name__ == "__main__":
    silence()
    if not Path(sys.argv[1]).is_file():
        sys.exit("usage: untold.py CONFIG [options of `sidecar up`]")
    sys.exit(cli.main(["up", *sys.argv[1:]]))
