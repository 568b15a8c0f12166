"""Records of requests for whoever writes lines of them: one that says a little of everything."""

import records

from sidecar.routing.decision import Decision, Lookup, Reason
from sidecar.routing.session import SessionKey
from sidecar.telemetry.record import Attempt
from sidecar.telemetry.trace import Trace

DECISION = Decision(("openai/gpt-4o", "openai/gpt-4o-mini"), "code_generation", Reason.PINNED, Lookup.HIT, pinned=True)
SESSION = SessionKey("canary-session")


def record(**more):
    usual = {
        "trace": Trace("ab" * 16, "req-1"),
        "began_at_s": 1769860800.1239,
        "seconds": 0.8124567,
        "client": "127.0.0.1",
        "user_agent": "curl/8",
    }
    return records.record(**{**usual, **more})


def attempt(outcome="answered", **more):
    first_byte_s = 0.301 if outcome == "answered" else None
    return Attempt("openai", "openai/gpt-4o", outcome, 0.001, 0.8, first_byte_s, **more)
