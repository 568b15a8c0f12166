"""Records of requests, as the door would tell them, with only what a test cares about."""

from sidecar.telemetry.record import Record
from sidecar.telemetry.trace import Trace

TRACE = Trace("0" * 31 + "1", "request-1")


def record(**more):
    """A request that went well and said nothing of itself."""
    usual = {"endpoint": "/v1/chat/completions", "method": "POST", "status": 200, "trace": TRACE}
    return Record(**{**usual, "began_at_s": 1_700_000_000.0, "seconds": 1.0, **more})
