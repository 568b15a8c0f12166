"""
The composition root: every part is made here, in the order in which each needs the ones before, and given what it
needs. The reverse is the order of stopping.

    serving     a whole sidecar                   sockets       the two ports
    generation  one configuration at work         remembering   where pins live
    reloading   from one to the next              deciding      classifier, router
    changes     whether the file has changed      watching      metrics, access log, traces
    fixed       what only a restart changes       asked         what is asked at each scrape

    stopping    that it shall end, and how        ports         taking one: alone, shared, in another's place
    draining    from there to the end             predecessor   the sidecar that is taken over from

    workers: N     whole, workers, sharing   the parent: its parts, its processes, the port that they share
                   worker, seat              a process of several: what it is told, its admin port
                   together, team, merging   one admin port for all: its paths, whom they ask, sums
                   line                      to one worker
"""

from sidecar.server.deciding import deciding
from sidecar.server.ports import CannotBind
from sidecar.server.serving import Serving, serve
from sidecar.server.stopping import Stop
from sidecar.server.watching import metrics_of
from sidecar.server.whole import serve_workers

__all__ = ["CannotBind", "Serving", "Stop", "deciding", "metrics_of", "serve", "serve_workers"]
