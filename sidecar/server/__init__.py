"""
The composition root: every part is made here, in the order in which each needs the ones before, and given what it
needs. The reverse is the order of stopping.

    serving    a whole sidecar                    deciding   classifier, pins, router
    watching   metrics, access log, traces        sockets    the two ports
"""

from sidecar.server.deciding import routing
from sidecar.server.serving import Serving, serve
from sidecar.server.sockets import CannotBind
from sidecar.server.watching import metrics_of

__all__ = ["CannotBind", "Serving", "metrics_of", "routing", "serve"]
