"""
The composition root: every part is made here, in the order in which each needs the ones before, and given what it
needs. The reverse is the order of stopping.

    serving    a whole sidecar                    deciding   classifier, router
    watching   metrics, access log, traces        remembering   where pins live
    sockets    the two ports

    workers: N     whole, workers, sharing   the parent: its parts, its processes, the port that they share
                   worker, seat              a process of several: what it is told, its admin port
                   together, team, merging   one admin port for all: its paths, whom they ask, sums
                   line                      to one worker
"""

from sidecar.server.deciding import routing
from sidecar.server.serving import Serving, serve
from sidecar.server.sockets import CannotBind
from sidecar.server.watching import metrics_of
from sidecar.server.whole import serve_workers

__all__ = ["CannotBind", "Serving", "metrics_of", "routing", "serve", "serve_workers"]
